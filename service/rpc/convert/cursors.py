"""Page tokens of the lists: each belongs to one tenant, one list and one set of filters."""

from datetime import UTC, datetime, timedelta

from service.domain.ledger import microseconds
from service.domain.release import Release
from service.domain.run import UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.ticket import Ticket
from service.domain.ticket_query import TicketQuery
from service.rpc.paging import make_token, read_token

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ticket_cursor(token: str, query: TicketQuery) -> tuple[datetime, str] | None:
    """Return (received_at, ticket_id) of the last ticket already seen.

    Raises:
        InvalidRequestError: the token does not belong to this list.
    """
    cursor = read_token(token, _ticket_scope(query), (int, str))
    if cursor is None:
        return None
    received, ticket_id = cursor
    return _EPOCH + timedelta(microseconds=int(received)), str(ticket_id)


def ticket_token(last: Ticket, query: TicketQuery) -> str:
    """Return the token for the tickets after this one."""
    return make_token((microseconds(last.received_at), last.ticket_id), _ticket_scope(query))


def release_cursor(token: str, lineage: str, tenant: str) -> int | None:
    """Return the number of the last release already seen.

    Raises:
        InvalidRequestError: the token does not belong to this list.
    """
    cursor = read_token(token, ("releases", tenant, lineage), (int,))
    return None if cursor is None else int(cursor[0])


def release_token(last: Release, tenant: str) -> str:
    """Return the token for the releases after this one."""
    return make_token((last.number,), ("releases", tenant, last.lineage))


def run_cursor(token: str, query: RunQuery) -> tuple[datetime, str] | None:
    """Return (created_at, run_id) of the last run already seen.

    Raises:
        InvalidRequestError: the token does not belong to this list.
    """
    cursor = read_token(token, _run_scope(query), (int, str))
    if cursor is None:
        return None
    created, run_id = cursor
    return _EPOCH + timedelta(microseconds=int(created)), str(run_id)


def run_token(last: UnlearningRun, query: RunQuery) -> str:
    """Return the token for the runs after this one."""
    return make_token((microseconds(last.created_at), last.run_id), _run_scope(query))


def _run_scope(query: RunQuery) -> tuple[str, ...]:
    return ("runs", query.tenant or "", query.lineage or "", *sorted(phase.value for phase in query.phases))


def _ticket_scope(query: TicketQuery) -> tuple[str, ...]:
    return ("tickets", query.tenant or "", query.lineage or "", *sorted(state.value for state in query.states))
