"""Counting and choosing tickets and runs in memory, the slow, obvious way."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from service.adapters.totals import count_verdicts, outcome_of
from service.domain.run import RunPhase, UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.ticket import Ticket, TicketState
from service.domain.ticket_query import TicketQuery
from service.store_totals import StoreTotals


def totals_of(
    tickets: Sequence[Ticket], runs: Sequence[UnlearningRun], forgotten: tuple[tuple[str, int], ...]
) -> StoreTotals:
    """Count tickets and runs the slow, obvious way."""
    still_open = [ticket for ticket in tickets if ticket.is_open]
    closed = [ticket for ticket in tickets if not ticket.is_open]
    committed: dict[str, datetime] = {}
    for run in runs:
        if run.phase is RunPhase.COMMITTED and run.closed_at is not None:
            committed[run.lineage] = max(run.closed_at, committed.get(run.lineage, run.closed_at))
    return StoreTotals(
        tickets=_counted(ticket.state.value for ticket in tickets),
        submitted=tuple(
            (regime, source, count)
            for (regime, source), count in sorted(Counter((t.regime.value, t.source.value) for t in tickets).items())
        ),
        closed=tuple(
            (outcome, reason, count)
            for (outcome, reason), count in sorted(Counter(outcome_of(ticket) for ticket in closed).items())
        ),
        runs=_counted(run.phase.value for run in runs),
        oldest_open=min((ticket.received_at for ticket in still_open), default=None),
        open_due=tuple(sorted(ticket.due_at for ticket in still_open)),
        completion_seconds=tuple(
            sorted(
                (t.closed_at - t.received_at).total_seconds()
                for t in closed
                if t.closed_at is not None and t.state is TicketState.SUCCEEDED
            )
        ),
        last_success=tuple(sorted(committed.items())),
        verdicts=count_verdicts(runs),
        forgotten=forgotten,
    )


def _counted(values: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(values).items()))


def matches(ticket: Ticket, query: TicketQuery) -> bool:
    """Return whether a query asks for a ticket."""
    return (
        (query.tenant is None or ticket.tenant == query.tenant)
        and (query.lineage is None or ticket.lineage == query.lineage)
        and (not query.states or ticket.state in query.states)
        and (query.after is None or (ticket.received_at, ticket.ticket_id) < query.after)
    )


def run_matches(run: UnlearningRun, query: RunQuery) -> bool:
    """Return whether a query asks for a run."""
    return (
        (query.tenant is None or run.tenant == query.tenant)
        and (query.lineage is None or run.lineage == query.lineage)
        and (not query.phases or run.phase in query.phases)
        and (query.after is None or (run.created_at, run.run_id) < query.after)
    )
