"""Which runs somebody wants to see."""

from dataclasses import dataclass
from datetime import datetime

from service.domain.run import RunPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs to list, newest first."""

    tenant: str | None = None
    lineage: str | None = None
    phases: frozenset[RunPhase] = frozenset()
    """Empty: all."""
    after: tuple[datetime, str] | None = None
    """(created_at, run_id) of the last one already seen."""
    limit: int = 50
