"""Counts for the metrics that are the same for every store."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from service.domain.drift import Drift, drift_of
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import UnlearningRun
from service.domain.ticket import Ticket


def outcome_of(ticket: Ticket) -> tuple[str, str]:
    """Return (outcome, reason code) of a closed ticket; `none` where it needed no reason."""
    return ticket.state.value, ticket.reasons[0].code if ticket.reasons else "none"


def drifts(
    models: Iterable[Model], releases: Iterable[Release], forgotten: Mapping[str, Mapping[int, int]]
) -> tuple[tuple[str, Drift], ...]:
    """Return (lineage, drift) of every lineage, by name.

    Args:
        models: all of them.
        releases: all of them.
        forgotten: lineage to how many samples each of its releases has forgotten.
    """
    by_lineage: defaultdict[str, list[Release]] = defaultdict(list)
    for release in releases:
        by_lineage[release.lineage].append(release)
    return tuple(
        (name, drift_of(by_lineage[name], forgotten.get(name, {}), train_rows))
        for name, train_rows in sorted((model.lineage, model.manifest.train_rows) for model in models)
    )


def count_verdicts(runs: Iterable[UnlearningRun]) -> tuple[tuple[str, str, int], ...]:
    """Return (verdict, claim, count) of every audited attempt."""
    pairs = Counter((attempt.verdict.value, attempt.claim.value) for run in runs for attempt in run.attempts)
    return tuple((verdict, claim, count) for (verdict, claim), count in sorted(pairs.items()))
