"""Holds in memory: the obvious implementation that the others must agree with."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain.hold import Hold, HoldState
from service.domain.ticket import Ticket
from service.errors import RequestIdReusedError, StaleVersionError
from service.hold_port import HoldQuery


@dataclass(slots=True)
class MemoryHolds:
    """Holds and the samples that each names; whoever uses it holds the lock."""

    by_id: dict[str, Hold] = field(default_factory=dict)
    samples: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def check(self, hold: Hold) -> None:
        """Refuse what `save` could not keep."""
        stored = self.by_id.get(hold.hold_id)
        if hold.version == 0 and self.by_request(hold.tenant, hold.request_id) is not None:
            raise RequestIdReusedError("the request id was used before")
        if hold.version != (stored.version if stored else 0):
            raise StaleVersionError(f"{hold.hold_id} does not have version {hold.version}: read it again")
        others = [other for other in self.by_id.values() if other.hold_id != hold.hold_id]
        if hold.release and any(
            other.release and (other.tenant, other.release.request_id) == (hold.tenant, hold.release.request_id)
            for other in others
        ):
            raise RequestIdReusedError("the request id was used before")

    def save(self, hold: Hold) -> None:
        """Keep a hold that was checked."""
        self.by_id[hold.hold_id] = replace(hold, version=hold.version + 1)

    def by_request(self, tenant: str, request_id: str) -> Hold | None:
        """Return the hold that this request placed."""
        matches = (h for h in self.by_id.values() if (h.tenant, h.request_id) == (tenant, request_id))
        return next(matches, None)

    def find(self, query: HoldQuery) -> Sequence[Hold]:
        """Return holds, newest first."""
        found = [hold for hold in self.by_id.values() if _matches(hold, query)]
        return sorted(found, key=lambda hold: (hold.placed_at, hold.hold_id), reverse=True)[: query.limit]

    def active(self, lineage: str) -> Sequence[Hold]:
        """Return a lineage's active holds, by id."""
        found = [hold for hold in self.by_id.values() if hold.lineage == lineage and hold.state is HoldState.ACTIVE]
        return sorted(found, key=lambda hold: hold.hold_id)

    def held_counts(
        self, lineage: str, tickets: Iterable[Ticket], ids: Mapping[str, tuple[str, ...]]
    ) -> dict[str, int]:
        """Count the held samples of each open ticket of a lineage."""
        held = {sample_id for hold in self.active(lineage) for sample_id in self.samples.get(hold.hold_id, ())}
        own = [ticket.ticket_id for ticket in tickets if ticket.is_open and ticket.lineage == lineage]
        counts = {ticket_id: sum(name in held for name in ids.get(ticket_id, ())) for ticket_id in own}
        return {ticket_id: count for ticket_id, count in counts.items() if count}

    def waiting_counts(
        self, hold_ids: Collection[str], tickets: Iterable[Ticket], ids: Mapping[str, tuple[str, ...]]
    ) -> dict[str, int]:
        """Count the open tickets that name a sample of each of these active holds."""
        open_tickets = [ticket for ticket in tickets if ticket.is_open]
        counts = {}
        for hold in (hold for hold_id, hold in self.by_id.items() if hold_id in set(hold_ids)):
            held = set(self.samples.get(hold.hold_id, ())) if hold.state is HoldState.ACTIVE else set()
            named = [held.intersection(ids.get(t.ticket_id, ())) for t in open_tickets if t.lineage == hold.lineage]
            counts[hold.hold_id] = sum(map(bool, named))
        return {hold_id: count for hold_id, count in counts.items() if count}


def _matches(hold: Hold, query: HoldQuery) -> bool:
    return (
        (query.tenant is None or hold.tenant == query.tenant)
        and (query.lineage is None or hold.lineage == query.lineage)
        and (not query.states or hold.state in query.states)
        and (query.after is None or (hold.placed_at, hold.hold_id) < query.after)
    )
