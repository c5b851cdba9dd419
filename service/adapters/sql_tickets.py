"""Queries about tickets, by SQL."""

import sqlalchemy as sa

from service.adapters.tables import TICKETS
from service.domain.ledger import microseconds
from service.domain.ticket_query import TicketQuery


def select_tickets(query: TicketQuery) -> sa.Select[str]:
    """Return the statement that finds tickets, newest first."""
    statement = sa.select(TICKETS.c.document)
    if query.tenant is not None:
        statement = statement.where(TICKETS.c.tenant == query.tenant)
    if query.lineage is not None:
        statement = statement.where(TICKETS.c.lineage == query.lineage)
    if query.states:
        statement = statement.where(TICKETS.c.state.in_([state.value for state in query.states]))
    if query.after is not None:
        last = (microseconds(query.after[0]), query.after[1])
        statement = statement.where(sa.tuple_(TICKETS.c.received_at, TICKETS.c.ticket_id) < last)
    return statement.order_by(TICKETS.c.received_at.desc(), TICKETS.c.ticket_id.desc()).limit(query.limit)
