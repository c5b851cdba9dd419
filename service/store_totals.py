"""What the metrics need of a store; a part of `service.ports.Store`."""

from dataclasses import dataclass
from datetime import datetime

from service.domain.drift import Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTotals:
    """Counts for the metrics, taken from the store so that they survive a restart."""

    tickets: tuple[tuple[str, int], ...]
    """(state, count)."""
    submitted: tuple[tuple[str, str, int], ...]
    """(regime, source, count)."""
    closed: tuple[tuple[str, str, int], ...]
    """(outcome, reason code, count)."""
    runs: tuple[tuple[str, int], ...]
    """(phase, count)."""
    oldest_open: datetime | None
    open_due: tuple[datetime, ...]
    """Due times of the open tickets, earliest first."""
    completion_seconds: tuple[float, ...]
    """Of every ticket that succeeded, from receipt to end, shortest first."""
    last_success: tuple[tuple[str, datetime], ...]
    """(lineage, time)."""
    verdicts: tuple[tuple[str, str, int], ...]
    """(verdict, claim, count)."""
    forgotten: tuple[tuple[str, int], ...]
    """(lineage, samples forgotten so far, canaries among them)."""
    canaries_left: tuple[tuple[str, int], ...] = ()
    """(lineage, canaries that it was trained on and has not forgotten yet), of lineages that were trained on any."""
    holds_active: int = 0
    drift: tuple[tuple[str, Drift], ...] = ()
    """(lineage, how far it is from its last full training)."""
    purges_open: tuple[datetime, ...] = ()
    """When superseded releases were or are to be purged whose weights are still there, earliest first."""
