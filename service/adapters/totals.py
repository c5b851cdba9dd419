"""Counts for the metrics that are the same for every store."""

from collections import Counter
from collections.abc import Iterable

from service.domain.run import UnlearningRun
from service.domain.ticket import Ticket


def outcome_of(ticket: Ticket) -> tuple[str, str]:
    """Return (outcome, reason code) of a closed ticket; `none` where it needed no reason."""
    return ticket.state.value, ticket.reasons[0].code if ticket.reasons else "none"


def count_verdicts(runs: Iterable[UnlearningRun]) -> tuple[tuple[str, str, int], ...]:
    """Return (verdict, claim, count) of every audited attempt."""
    pairs = Counter((attempt.verdict.value, attempt.claim.value) for run in runs for attempt in run.attempts)
    return tuple((verdict, claim, count) for (verdict, claim), count in sorted(pairs.items()))
