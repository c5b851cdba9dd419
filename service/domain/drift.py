"""How far a lineage has drifted from a full training: each unlearning is approximate, and errors add up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What happened to a lineage since it was trained in full: registered, or retrained without what it had forgotten.

    Attributes:
        runs: releases since then.
        samples: forgotten by them, canaries among them.
        train_rows: of the manifest.
    """

    runs: int
    samples: int
    train_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftBudget:
    """How much of that is taken before the next run must retrain.

    Attributes:
        runs: most releases.
        forget_share: most samples, as a share of the training split.
    """

    runs: int
    forget_share: float

    def used(self, drift: Drift) -> float:
        """Return the share of the budget that is used up, the larger of the two; from 1 on the next run retrains."""
        return max(drift.runs / self.runs, drift.samples / drift.train_rows / self.forget_share)


def drift_of(releases: Sequence[Release], forgotten: Mapping[int, int], train_rows: int) -> Drift:
    """Return a lineage's drift.

    Args:
        releases: all of them.
        forgotten: how many samples each release has forgotten, by its number.
        train_rows: of the manifest, at least 1.
    """
    full = max((release.number for release in releases if release.is_retrained or release.run_id is None), default=0)
    return Drift(
        runs=sum(release.number > full for release in releases),
        samples=sum(count for number, count in forgotten.items() if number > full),
        train_rows=train_rows,
    )
