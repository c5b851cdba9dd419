"""What the service needs of a store to know its holds; a part of `service.ports.Store`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.hold import Hold, HoldState


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldQuery:
    """Which holds to list, newest first."""

    tenant: str | None = None
    lineage: str | None = None
    states: frozenset[HoldState] = frozenset()
    """Empty: all."""
    after: tuple[datetime, str] | None = None
    """(placed_at, hold_id) of the last one already seen."""
    limit: int = 50


class HoldStore(Protocol):
    """Reads holds; they are saved with everything else, by `Store.save`."""

    def hold(self, hold_id: str) -> Hold | None:
        """Return a hold."""
        ...

    def hold_by_request(self, tenant: str, request_id: str) -> Hold | None:
        """Return the hold that this request placed."""
        ...

    def holds(self, query: HoldQuery) -> Sequence[Hold]:
        """Return holds, newest first (placed_at, hold_id descending)."""
        ...

    def active_holds(self, lineage: str) -> Sequence[Hold]:
        """Return a lineage's holds that are not released, by id."""
        ...

    def held_samples(self, hold_id: str) -> Sequence[str]:
        """Return a hold's sample ids in the order of the request."""
        ...

    def held_counts(self, lineage: str) -> dict[str, int]:
        """Return how many samples of a lineage's open tickets are under an active hold; those of 0 are left out."""
        ...

    def waiting_counts(self, hold_ids: Collection[str]) -> dict[str, int]:
        """Return how many open tickets name a sample of each of these active holds; those of 0 are left out."""
        ...
