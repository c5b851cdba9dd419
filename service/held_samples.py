"""What holds mean for tickets and runs: who waits, what a run leaves alone, when a run must make way."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from service.domain.entries import ticket_changed
from service.domain.hold import HeldRows, Hold, held_rows
from service.domain.resolution import Resolution
from service.domain.run import UnlearningRun
from service.domain.ticket import Ticket, TicketEvent, TicketState, advance, on_hold
from service.errors import HoldActiveError
from service.ports import Change, Clock, ManifestSource, Store

_CAN_BE_HELD = frozenset({TicketState.ACCEPTED, TicketState.SCHEDULED})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSamples:
    """Looks at holds for the workflow: before a run is opened, when an attempt starts, and before publishing."""

    store: Store
    manifests: ManifestSource
    clock: Clock
    resolution: Callable[[UnlearningRun], Resolution]
    """Reads the rows of a run that was resolved."""
    actor: str
    in_order: dict[str, set[str]] = field(default_factory=dict)
    """By lineage, the active holds and the versions of waiting tickets that were sorted last: equal ones need no second
    look, which would read every sample of these tickets."""

    def active(self, lineage: str, manifest_digest: str) -> HeldRows:
        """Return the rows of a lineage that are held now."""
        return _rows_of(self.store.active_holds(lineage), self.store, self.manifests, manifest_digest)

    def sort_tickets(self) -> None:
        """Put tickets on hold of which nothing is left that may be forgotten now, and bring back those that can go on.

        Deadlines are not moved: a hold explains a delay, it does not extend the period.
        """
        tickets = [t for t in self.store.open_tickets() if t.state in _CAN_BE_HELD or t.state is TicketState.ON_HOLD]
        for lineage in sorted({ticket.lineage for ticket in tickets}):
            own = [ticket for ticket in tickets if ticket.lineage == lineage]
            holds = {hold.hold_id for hold in self.store.active_holds(lineage)}
            now = holds | {f"{ticket.ticket_id} {ticket.version}" for ticket in own}
            if self.in_order.get(lineage) == now:
                continue
            held = self.store.held_counts(lineage) if holds else {}
            for ticket in own:
                self._sort(ticket, held.get(ticket.ticket_id, 0))
            self.in_order[lineage] = now

    def _sort(self, ticket: Ticket, held: int) -> None:
        must_wait = held > 0 and held + ticket.forgotten_count >= ticket.sample_count
        if must_wait and ticket.state in _CAN_BE_HELD:
            self.put_on_hold(ticket, held=held, forgotten=ticket.forgotten_count)
        elif not must_wait and ticket.state is TicketState.ON_HOLD:
            self._save(ticket, advance(ticket, TicketEvent.RELEASE_HOLD, self.clock.now()))

    def put_on_hold(self, ticket: Ticket, *, held: int, forgotten: int) -> None:
        """Let a ticket that no run has wait for the end of holds."""
        self._save(ticket, on_hold(ticket, TicketEvent.HOLD, held=held, forgotten=forgotten, now=self.clock.now()))

    def left_of(self, ticket: Ticket, run: UnlearningRun, gone: Collection[int]) -> int:
        """Return how many samples of a ticket are not among the rows that are forgotten once its run is published."""
        if not run.spec.holds:
            return 0  # then the run forgets all that its tickets name
        rows = self.manifests.resolve(run.spec.manifest_digest, self.store.sample_ids(ticket.ticket_id)).rows
        return sum(row not in gone for row in rows)

    def require_free(self, run: UnlearningRun, *, at_start: bool) -> None:
        """Check that no hold came since a resolved run was frozen which it would break.

        At the start of an attempt D_f must hold no held row and D_r no restricted one. Before publishing D_f alone
        counts: what was learned from the others before their hold came is in the release that is out, too.

        Raises:
            HoldActiveError: it must not go on; its tickets are to be batched anew.
        """
        active = self.store.active_holds(run.lineage)
        if {hold.hold_id for hold in active}.issubset(run.spec.holds):
            return  # what a hold names never changes, and these were known
        held = _rows_of(active, self.store, self.manifests, run.spec.manifest_digest)
        parts = self.resolution(run)
        learns = at_start and held.reaches_beyond({*parts.held, *parts.forgotten_before})
        if learns or held.touches(parts.unlearned):
            raise HoldActiveError("a hold was placed on samples of the run after it was opened", run_id=run.run_id)

    def _save(self, before: Ticket, after: Ticket) -> None:
        event = TicketEvent.HOLD if after.state is TicketState.ON_HOLD else TicketEvent.RELEASE_HOLD
        entry = ticket_changed(before, after, event, self.actor, self.clock.now())
        self.store.save(Change(tickets=(after,), entries=(entry,)))


def frozen_holds(run: UnlearningRun, store: Store, manifests: ManifestSource) -> HeldRows:
    """Return the rows of the holds that a run's specification names, whether they are active still or not."""
    found = (store.hold(hold_id) for hold_id in run.spec.holds)
    return _rows_of([hold for hold in found if hold is not None], store, manifests, run.spec.manifest_digest)


def _rows_of(holds: Iterable[Hold], store: Store, manifests: ManifestSource, manifest_digest: str) -> HeldRows:
    return held_rows(
        (hold, manifests.resolve(manifest_digest, store.held_samples(hold.hold_id)).rows) for hold in holds
    )
