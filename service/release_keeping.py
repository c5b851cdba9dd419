"""What becomes of releases after their time: readers stay on the current one, superseded weights are purged.

Superseded weights know what later releases have forgotten. They are kept for a while, so that a release that turns out
to be broken has something to be compared with, and then go, all versions of them.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from service.domain.entries import pointer_restored, purge_scheduled, purged
from service.domain.model import Model
from service.domain.purge import ReleasePurge, purges_of
from service.domain.release import Release, pointer_key, weights_key
from service.domain.run import RunPhase
from service.domain.ticket import TicketState
from service.ports import Change, Clock, ObjectStore, Store, imported_weights_key
from service.publishing import point_to, pointed_release
from service.serving import answer

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseKeeper:
    """Looks after every lineage's releases; each act can be repeated after a crash."""

    store: Store
    objects: ObjectStore
    clock: Clock
    rollback_window: timedelta
    actor: str

    def keep(self) -> None:
        """Restore pointers, and only once that is done purge: nobody shall be pointed to weights that go."""
        self.restore_pointers()
        self.purge_superseded()

    def restore_pointers(self) -> None:
        """Point readers of each lineage to its current release, whoever or whatever had pointed them elsewhere."""
        for model in self.store.models():
            release = next(each for each in self.store.releases(model.lineage) if each.number == model.current_release)
            has_pointer = self.objects.head(pointer_key(model.lineage)) is not None
            found = pointed_release(self.objects, model.lineage) if has_pointer else 0
            if 0 < found < release.number and not self._is_publishing(model):
                self._tell_of_rollback(model, release, found)
            point_to(self.objects, release)

    def purge_superseded(self) -> None:
        """Set when the weights of superseded releases go, and delete those whose time has come.

        A release stays that a run rests on which is open, or which failed and waits for a person.
        """
        for model in self.store.models():
            releases = self.store.releases(model.lineage)
            known = {purge.number: purge for purge in self.store.purges(model.lineage)}
            for purge in purges_of(releases, self.rollback_window):
                if purge.number not in known:
                    entry = purge_scheduled(purge, self.actor, self.clock.now())
                    self.store.save(Change(purges=(purge,), entries=(entry,)))
                    known[purge.number] = purge
            needed = self._needed(model) if any(self._is_due(purge) for purge in known.values()) else set()
            for release in releases:
                if release.number in known and release.number not in needed:
                    self._purge(release, known[release.number])

    def _purge(self, release: Release, purge: ReleasePurge) -> None:
        """Delete weights that are due, then say so; and those that somebody has brought again since."""
        is_gone = purge.purged_at is not None
        if not is_gone and not self._is_due(purge):
            return
        keys = [weights_key(release.lineage, release.number)]
        if release.run_id is None:  # as registered: it was brought under its digest
            keys.append(imported_weights_key(release.weights_digest))
        for key in keys:
            if not is_gone or self.objects.head(key) is not None:
                self.objects.delete(key)
        if is_gone:
            return
        now = self.clock.now()
        entry = purged(release, self.actor, now)
        self.store.save(Change(purges=(replace(purge, purged_at=now),), entries=(entry,)))
        _log.info("release purged", lineage=release.lineage, release=release.number)

    def _is_due(self, purge: ReleasePurge) -> bool:
        return purge.purged_at is None and purge.purge_at <= self.clock.now()

    def _needed(self, model: Model) -> set[int]:
        """Return which releases of a lineage the runs rest on that are open or may be tried again."""
        runs = [run for run in self.store.active_runs() if run.lineage == model.lineage]
        for ticket in self.store.open_tickets():
            if ticket.lineage == model.lineage and ticket.state is TicketState.NEEDS_ATTENTION and ticket.run_id:
                run = self.store.run(ticket.run_id)
                runs += [run] if run is not None and run.phase is RunPhase.FAILED else []
        return {run.spec.base_release for run in runs}

    def _is_publishing(self, model: Model) -> bool:
        """Return whether a run has yet to move the pointer itself."""
        return any(
            run.lineage == model.lineage and run.phase is RunPhase.PUBLISHING for run in self.store.active_runs()
        )

    def _tell_of_rollback(self, model: Model, release: Release, found: int) -> None:
        resurrected = answer(self.store, model, number=found).resurrected
        entry = pointer_restored(release, found, resurrected, self.actor, self.clock.now())
        self.store.save(Change(entries=(entry,)))
        _log.warning("pointer had been moved back", lineage=model.lineage, release=release.number, found=found)
