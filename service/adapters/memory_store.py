"""A store in memory: the obvious implementation that the others must agree with."""

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from service.adapters.memory_holds import MemoryHolds
from service.adapters.memory_queries import matches, run_matches, totals_of
from service.adapters.totals import drifts
from service.domain.canary import Canary
from service.domain.deployment import Deployment
from service.domain.hold import Hold, HoldState
from service.domain.ledger import LedgerEntry, LedgerQuery, chain
from service.domain.model import Model
from service.domain.purge import ReleasePurge
from service.domain.release import Release
from service.domain.run import UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.ticket import Ticket
from service.domain.ticket_query import TicketQuery
from service.domain.upload import Upload
from service.errors import ActiveRunError, LineageExistsError, RequestIdReusedError, StaleVersionError
from service.hold_port import HoldQuery
from service.ports import Change
from service.store_totals import StoreTotals


class MemoryStore:
    """Keeps everything in dictionaries under one lock; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tickets: dict[str, Ticket] = {}
        self._sample_ids: dict[str, tuple[str, ...]] = {}
        self._runs: dict[str, UnlearningRun] = {}
        self._models: dict[str, Model] = {}
        self._releases: dict[tuple[str, int], Release] = {}
        self._forgotten: dict[str, dict[int, int]] = {}
        self._canaries: dict[str, dict[int, Canary]] = {}
        self._holds = MemoryHolds()
        self._deployments: list[Deployment] = []
        self._purges: dict[tuple[str, int], ReleasePurge] = {}
        self._uploads: dict[str, Upload] = {}
        self._uploaded: dict[str, list[str]] = {}
        self._uploads_used: dict[str, str] = {}
        """Upload by ticket."""
        self._ledger: list[LedgerEntry] = []

    def save(self, change: Change) -> None:
        """Save all of a change or nothing: everything is checked before anything is written."""
        with self._lock:
            self._check(change)
            for ticket in change.tickets:
                self._tickets[ticket.ticket_id] = replace(ticket, version=ticket.version + 1)
            self._sample_ids.update(change.sample_ids)
            self._uploads_used.update(change.uploads_used)
            for run in change.runs:
                self._runs[run.run_id] = replace(run, version=run.version + 1)
            for model in change.models:
                self._models[model.lineage] = replace(model, version=model.version + 1)
            for release in change.releases:
                self._releases[release.lineage, release.number] = release
            for lineage, number, rows in change.forgotten:
                self._forgotten.setdefault(lineage, {}).update(dict.fromkeys(rows, number))
            for lineage, canaries in change.canaries:
                self._canaries.setdefault(lineage, {}).update({canary.row: canary for canary in canaries})
            for lineage, run_id, rows in change.canaries_taken:
                kept = self._canaries.get(lineage, {})
                kept.update({row: replace(kept[row], used_by_run=run_id) for row in rows})
            for hold in change.holds:
                self._holds.save(hold)
            self._holds.samples.update(change.held_samples)
            self._deployments += change.deployments
            self._purges |= {(purge.lineage, purge.number): purge for purge in change.purges}
            for draft in change.entries:
                self._ledger.append(chain(draft, self._ledger[-1] if self._ledger else None))

    def _check(self, change: Change) -> None:
        for ticket in change.tickets:
            stored = self._tickets.get(ticket.ticket_id)
            if ticket.version == 0 and self.ticket_by_request(ticket.tenant, ticket.request_id) is not None:
                raise RequestIdReusedError("the request id was used before")
            _same_version(ticket.version, stored.version if stored else 0, ticket.ticket_id)
        for run in change.runs:
            stored_run = self._runs.get(run.run_id)
            if run.version == 0 and any(other.lineage == run.lineage for other in self.active_runs()):
                raise ActiveRunError(f"lineage {run.lineage} has an active run")
            _same_version(run.version, stored_run.version if stored_run else 0, run.run_id)
        for model in change.models:
            stored_model = self._models.get(model.lineage)
            if model.version == 0 and stored_model is not None:
                raise LineageExistsError(f"lineage {model.lineage} is registered already")
            _same_version(model.version, stored_model.version if stored_model else 0, model.lineage)
        for lineage, _, rows in change.forgotten:
            if not self._forgotten.get(lineage, {}).keys().isdisjoint(rows):
                raise StaleVersionError(f"lineage {lineage} has forgotten some of these rows already")
        if any(upload_id not in self._uploads for _, upload_id in change.uploads_used):
            raise StaleVersionError("the upload was erased")
        self._check_canaries(change)
        for hold in change.holds:
            self._holds.check(hold)
        self._check_releases(change)

    def _check_releases(self, change: Change) -> None:
        for release in change.releases:
            if (release.lineage, release.number) in self._releases:
                raise StaleVersionError(f"release {release.number} of lineage {release.lineage} exists")
        taken = {(known.tenant, known.request_id) for known in self._deployments}
        if any((new.tenant, new.request_id) in taken for new in change.deployments):
            raise RequestIdReusedError("the request id was used before")
        for purge in change.purges:
            stored_purge = self._purges.get((purge.lineage, purge.number))
            is_planned = stored_purge is not None and stored_purge.purged_at is None
            if (stored_purge is not None or purge.purged_at is not None) and not (is_planned and purge.purged_at):
                raise StaleVersionError(f"the purge of release {purge.number} of lineage {purge.lineage} has changed")

    def _check_canaries(self, change: Change) -> None:
        for lineage, canaries in change.canaries:
            if not self._canaries.get(lineage, {}).keys().isdisjoint(canary.row for canary in canaries):
                raise StaleVersionError(f"lineage {lineage} has some of these canaries already")
        for lineage, _, rows in change.canaries_taken:
            inserted = {canary.row for name, canaries in change.canaries if name == lineage for canary in canaries}
            if not (self._canaries.get(lineage, {}).keys() | inserted).issuperset(rows):
                raise StaleVersionError(f"lineage {lineage} lacks some of the canaries that the run takes")

    def ticket(self, ticket_id: str) -> Ticket | None:
        """Return a ticket."""
        with self._lock:
            return self._tickets.get(ticket_id)

    def ticket_by_request(self, tenant: str, request_id: str) -> Ticket | None:
        """Return the ticket that this request made."""
        with self._lock:
            matches = (t for t in self._tickets.values() if (t.tenant, t.request_id) == (tenant, request_id))
            return next(matches, None)

    def tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        """Return tickets, newest first."""
        with self._lock:
            found = [ticket for ticket in self._tickets.values() if matches(ticket, query)]
        return sorted(found, key=lambda t: (t.received_at, t.ticket_id), reverse=True)[: query.limit]

    def open_tickets(self) -> Sequence[Ticket]:
        """Return every ticket that is not closed, oldest first."""
        with self._lock:
            found = [ticket for ticket in self._tickets.values() if ticket.is_open]
        return sorted(found, key=lambda t: (t.received_at, t.ticket_id))

    def sample_ids(self, ticket_id: str) -> Sequence[str]:
        """Return a ticket's sample ids in the order of the request."""
        with self._lock:
            used = self._uploads_used.get(ticket_id)
            return self._sample_ids.get(ticket_id, ()) if used is None else tuple(self._uploaded[used])

    def _ids_by_ticket(self) -> dict[str, tuple[str, ...]]:
        uploaded = {ticket: tuple(self._uploaded[upload]) for ticket, upload in self._uploads_used.items()}
        return self._sample_ids | uploaded

    def model(self, lineage: str) -> Model | None:
        """Return a registered lineage."""
        with self._lock:
            return self._models.get(lineage)

    def models(self) -> Sequence[Model]:
        """Return every registered lineage, by name."""
        with self._lock:
            return [self._models[lineage] for lineage in sorted(self._models)]

    def run(self, run_id: str) -> UnlearningRun | None:
        """Return a run."""
        with self._lock:
            return self._runs.get(run_id)

    def runs(self, query: RunQuery) -> Sequence[UnlearningRun]:
        """Return runs, newest first."""
        with self._lock:
            found = [run for run in self._runs.values() if run_matches(run, query)]
        return sorted(found, key=lambda run: (run.created_at, run.run_id), reverse=True)[: query.limit]

    def active_runs(self) -> Sequence[UnlearningRun]:
        """Return every run that still holds its lineage."""
        with self._lock:
            return sorted((run for run in self._runs.values() if run.is_active), key=lambda run: run.run_id)

    def releases(self, lineage: str) -> Sequence[Release]:
        """Return a lineage's releases, newest first."""
        with self._lock:
            found = [release for (name, _), release in self._releases.items() if name == lineage]
        return sorted(found, key=lambda release: release.number, reverse=True)

    def forgotten_rows(self, lineage: str) -> dict[int, int]:
        """Return the rows that a lineage has forgotten, each with its release."""
        with self._lock:
            return dict(self._forgotten.get(lineage, {}))

    def deployments(self, lineage: str) -> Sequence[Deployment]:
        """Return what serving systems said that they run of a lineage, oldest first."""
        with self._lock:
            found = [known for known in self._deployments if known.lineage == lineage]
        return sorted(found, key=lambda known: (known.acknowledged_at, known.request_id))

    def purges(self, lineage: str) -> Sequence[ReleasePurge]:
        """Return which of a lineage's releases are to be purged or are, by number."""
        with self._lock:
            return [purge for (name, _), purge in sorted(self._purges.items()) if name == lineage]

    def canaries(self, lineage: str) -> Sequence[Canary]:
        """Return a lineage's canaries by row, with the run that took each last."""
        with self._lock:
            return [canary for _, canary in sorted(self._canaries.get(lineage, {}).items())]

    def hold(self, hold_id: str) -> Hold | None:
        """Return a hold."""
        with self._lock:
            return self._holds.by_id.get(hold_id)

    def hold_by_request(self, tenant: str, request_id: str) -> Hold | None:
        """Return the hold that this request placed."""
        with self._lock:
            return self._holds.by_request(tenant, request_id)

    def holds(self, query: HoldQuery) -> Sequence[Hold]:
        """Return holds, newest first."""
        with self._lock:
            return self._holds.find(query)

    def active_holds(self, lineage: str) -> Sequence[Hold]:
        """Return a lineage's holds that are not released, by id."""
        with self._lock:
            return self._holds.active(lineage)

    def held_samples(self, hold_id: str) -> Sequence[str]:
        """Return a hold's sample ids in the order of the request."""
        with self._lock:
            return self._holds.samples.get(hold_id, ())

    def held_counts(self, lineage: str) -> dict[str, int]:
        """Return how many samples of each open ticket of a lineage are under an active hold."""
        with self._lock:
            return self._holds.held_counts(lineage, self._tickets.values(), self._ids_by_ticket())

    def waiting_counts(self, hold_ids: Collection[str]) -> dict[str, int]:
        """Return how many open tickets name a sample of each of these active holds."""
        with self._lock:
            return self._holds.waiting_counts(hold_ids, self._tickets.values(), self._ids_by_ticket())

    def ledger(self, after: int = 0) -> Iterator[LedgerEntry]:
        """Yield the entries after a sequence number."""
        with self._lock:
            entries = self._ledger[after:]
        yield from entries

    def ledger_page(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """Return entries, oldest first."""
        found = (
            entry
            for entry in self.ledger(query.after)
            if query.subject in {None, entry.subject} and (not query.kinds or entry.kind in query.kinds)
        )
        return list(islice(found, query.limit))

    def begin_upload(self, upload: Upload) -> None:
        """Save an upload that has no ids yet."""
        with self._lock:
            self._uploads[upload.upload_id] = upload
            self._uploaded[upload.upload_id] = []

    def extend_upload(self, upload_id: str, first: int, sample_ids: Sequence[str]) -> None:
        """Save further ids."""
        with self._lock:
            if upload_id not in self._uploads or len(self._uploaded[upload_id]) != first:
                raise StaleVersionError("the upload was erased or changed meanwhile")
            self._uploaded[upload_id].extend(sample_ids)

    def finish_upload(self, upload: Upload) -> None:
        """Save that an upload is complete."""
        with self._lock:
            if self.upload_by_request(upload.tenant, upload.header.request_id) is not None:
                raise RequestIdReusedError("the request id was used before")
            if upload.upload_id not in self._uploads:
                raise StaleVersionError("the upload was erased meanwhile")
            self._uploads[upload.upload_id] = upload

    def drop_upload(self, upload_id: str) -> None:
        """Erase an upload that no ticket uses."""
        with self._lock:
            if upload_id not in self._uploads_used.values():
                self._uploads.pop(upload_id, None)
                self._uploaded.pop(upload_id, None)

    def upload(self, upload_id: str) -> Upload | None:
        """Return an upload."""
        with self._lock:
            return self._uploads.get(upload_id)

    def upload_by_request(self, tenant: str, request_id: str) -> Upload | None:
        """Return the complete upload that this request made."""
        with self._lock:
            complete = (upload for upload in self._uploads.values() if upload.is_complete)
            return next((u for u in complete if (u.tenant, u.header.request_id) == (tenant, request_id)), None)

    def uploaded_ids(self, upload_id: str) -> Iterator[Sequence[str]]:
        """Yield an upload's ids."""
        with self._lock:
            ids = tuple(self._uploaded.get(upload_id, ()))
        yield ids

    def erase_uploads(self, now: datetime) -> int:
        """Erase what has expired and no ticket uses."""
        with self._lock:
            used = set(self._uploads_used.values())
            expired = [key for key, upload in self._uploads.items() if upload.expires_at <= now and key not in used]
            for key in expired:
                self.drop_upload(key)
        return len(expired)

    def totals(self) -> StoreTotals:
        """Return the counts that the metrics show."""
        with self._lock:
            tickets, runs = list(self._tickets.values()), list(self._runs.values())
            forgotten = tuple(sorted((name, len(rows)) for name, rows in self._forgotten.items()))
            holds_active = sum(hold.state is HoldState.ACTIVE for hold in self._holds.by_id.values())
            left = {
                name: [
                    row not in self._forgotten.get(name, {}) for row, canary in canaries.items() if canary.is_included
                ]
                for name, canaries in self._canaries.items()
            }
            per_release = {name: Counter(rows.values()) for name, rows in self._forgotten.items()}
            drift = drifts(self._models.values(), self._releases.values(), per_release)
            purges_open = tuple(sorted(p.purge_at for p in self._purges.values() if p.purged_at is None))
        canaries_left = tuple(sorted((name, sum(rows)) for name, rows in left.items() if rows))
        return replace(
            totals_of(tickets, runs, forgotten),
            canaries_left=canaries_left,
            holds_active=holds_active,
            purges_open=purges_open,
            drift=drift,
        )

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _same_version(given: int, stored: int, what: str) -> None:
    if given != stored:
        raise StaleVersionError(f"{what} has version {stored}, not {given}: read it again")
