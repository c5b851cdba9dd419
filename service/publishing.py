"""Publishing: weights, report, ledger, pointer, in this order, each step harmless to repeat.

Readers follow only the pointer. Whatever is written under the number of a release that the store does not know is an
orphan of a crash, and is replaced.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mcu_core.config import RetrainRung
from mcu_core.report import AuditReport
from service.attestation import PLAN, REPORT, SCORES
from service.domain.canonical import canonical_bytes
from service.domain.entries import released, ticket_changed
from service.domain.model import Model
from service.domain.release import Release, card_key, evidence_key, pointer_key, report_key, weights_key
from service.domain.run import UnlearningRun, attempt_prefix
from service.domain.ticket import Ticket, TicketEvent, advance, on_hold
from service.errors import (
    AuditNotPassedError,
    DigestMismatchError,
    ObjectExistsError,
    PointerMovedError,
)
from service.evidence import PLAN_ENVELOPE, REPORT_ENVELOPE, basis_members, earlier_members, judged_members
from service.held_samples import HeldSamples
from service.ports import Change, Clock, ObjectStore, Store
from service.signing import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Turns an accepted candidate into a release."""

    store: Store
    objects: ObjectStore
    clock: Clock
    render: Callable[[AuditReport], bytes]
    """Makes the report's HTML."""
    forget_rows: Callable[[UnlearningRun], tuple[int, ...]]
    """Reads D_f of a run from its resolution, canaries included: they are in no later D_r either."""
    signer: Signer
    held: HeldSamples

    def publish(self, run: UnlearningRun, model: Model, actor: str) -> Release:
        """Publish a run's candidate; after any crash, calling it again finishes the work.

        1. No hold may have come that the run would break, and the report must say ACCEPT of exactly the candidate's
           digest.
        2. Weights, card, report and everything that the verdict rests on are written create-only.
        3. Release, forgotten rows and tickets are saved with their ledger entries.
        4. The pointer is moved.

        Args:
            run: whose candidate was accepted.
            model: its lineage, read before holds are looked at: a hold that is placed meanwhile changes it.
            actor: for the ledger.

        Returns:
            The release that readers are pointed to now.

        Raises:
            HoldActiveError: the run forgets a sample that is held now.
            AuditNotPassedError: the report does not accept this candidate.
            DigestMismatchError: candidate or report are not the bytes that were audited.
            ObjectStoreUnavailableError: nothing can be written now (full disk included).
            StaleVersionError: the lineage changed at the same moment.
            PointerMovedError: somebody else moved the pointer.
        """
        done = self.release_of(run)
        release = self._release(run, model) if done is None else done
        if done is None:
            # 1. Nothing held is forgotten, and what was audited is what is published
            self.held.require_free(run, at_start=False)
            report_bytes = self._accepted_report(run)
            # 2. Objects
            self._write_objects(run, release, report_bytes)
            # 3. Ledger
            self._save(run, model, release, actor)
        # 4. Pointer
        point_to(self.objects, release)
        pointed = pointed_release(self.objects, release.lineage)
        if pointed != release.number:
            raise PointerMovedError(f"the pointer names release {pointed}, which the store does not know")
        return release

    def release_of(self, run: UnlearningRun) -> Release | None:
        """Return this run's release, if the store has it: from then on the run can only go forward."""
        return next((release for release in self.store.releases(run.lineage) if release.run_id == run.run_id), None)

    def discard(self, run: UnlearningRun) -> None:
        """Delete the weights that were written for a release that will not be; harmless to repeat.

        Its report stays, as evidence of what was audited: it names nobody, and may be locked.
        """
        model = self.store.model(run.lineage)
        if model is None or self.release_of(run) is not None:
            return
        number = model.current_release + 1  # no other run of the lineage is active
        for key in (weights_key(run.lineage, number), card_key(run.lineage, number)):
            self.objects.delete(key)

    def _release(self, run: UnlearningRun, model: Model) -> Release:
        if run.candidate_digest is None:
            raise RuntimeError(f"{run.run_id}: nothing to publish")
        return Release(
            lineage=model.lineage,
            number=model.current_release + 1,
            weights_digest=run.candidate_digest,
            report_digest=run.report_digest,
            run_id=run.run_id,
            ticket_ids=run.ticket_ids,
            forget_count=run.spec.forget_count,
            created_at=self.clock.now(),
            is_retrained=isinstance(run.spec.config.ladder[run.rung_index], RetrainRung),
        )

    def _accepted_report(self, run: UnlearningRun) -> bytes:
        data = read_report(self.objects, run)
        report = AuditReport.model_validate_json(data)
        if not report.judgement.verdict.accepts or report.subjects.candidate != run.candidate_digest:
            raise AuditNotPassedError("the report does not accept this candidate")
        return data

    def _write_objects(self, run: UnlearningRun, release: Release, report_bytes: bytes) -> None:
        evidence = self._evidence(run, release, report_bytes)  # first: without it no weights are written
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            candidate = self.objects.download(f"{attempt_prefix(run.run_id, run.epoch)}/candidate.safetensors", path)
            if candidate.sha256 != release.weights_digest:
                raise DigestMismatchError("the candidate is not the one that was audited")
            replace_orphan(self.objects, weights_key(release.lineage, release.number), path)
        replace_orphan(self.objects, card_key(release.lineage, release.number), canonical_bytes(_card(run, release)))
        for name, content in evidence.items():
            replace_orphan(self.objects, evidence_key(release.lineage, run.run_id, name), content)

    def _evidence(self, run: UnlearningRun, release: Release, report_bytes: bytes) -> dict[str, bytes]:
        """Return the members of the run's bundle: what anybody needs to recompute the verdict."""
        report = AuditReport.model_validate_json(report_bytes)
        prefix = attempt_prefix(run.run_id, run.epoch)
        planned = {name: self.objects.read(f"{prefix}/{name}") for name in (PLAN, PLAN_ENVELOPE)}
        _require_digest(planned[PLAN], run.plan_digest, "the plan is not the one in the ledger")
        judged = judged_members(report, page=self.render(report), signer=self.signer, now=release.created_at)
        scores = self.objects.read(f"{prefix}/{SCORES}")
        _require_digest(scores, report.subjects.scores, "the scores are not those that the report was computed from")
        members = planned | judged | basis_members(run.spec.policy, scores)
        for attempt in run.attempts[:-1]:
            folder = attempt_prefix(run.run_id, attempt.attempt)
            kept = (PLAN, PLAN_ENVELOPE, REPORT, REPORT_ENVELOPE)
            earlier = {name: self.objects.read(f"{folder}/{name}") for name in kept}
            _require_digest(earlier[PLAN], attempt.plan_digest, "an earlier plan is not the one in the ledger")
            _require_digest(earlier[REPORT], attempt.report_digest, "an earlier report is not the one that was judged")
            members |= earlier_members(attempt.attempt, earlier)
        return members

    def attest_attempt(self, run: UnlearningRun, report: AuditReport) -> None:
        """Sign what the gate said of an attempt, whatever it was; harmless to repeat."""
        key = f"{attempt_prefix(run.run_id, run.epoch)}/{REPORT_ENVELOPE}"
        if self.objects.head(key) is None:
            judged = judged_members(report, page=None, signer=self.signer, now=self.clock.now())
            self.objects.create(key, judged[REPORT_ENVELOPE])

    def _save(self, run: UnlearningRun, model: Model, release: Release, actor: str) -> None:
        now = release.created_at
        forgotten = self.forget_rows(run)
        gone = {*self.store.forgotten_rows(run.lineage), *forgotten}
        tickets = []
        entries = [released(release, actor)]
        for ticket in map(self.store.ticket, run.ticket_ids):
            if ticket is None or ticket.run_id != run.run_id:
                continue  # it was withdrawn; its samples are forgotten all the same
            left = self.held.left_of(ticket, run, gone)
            event = TicketEvent.PUBLISH_PART if left else TicketEvent.PUBLISH
            published = _published(ticket, event, release, left)
            tickets.append(published)
            entries.append(ticket_changed(ticket, published, event, actor, now))
        change = Change(
            tickets=tuple(tickets),
            models=(replace(model, current_release=release.number),),
            releases=(release,),
            forgotten=((release.lineage, release.number, forgotten),),
            entries=tuple(entries),
        )
        self.store.save(change)


def _published(ticket: Ticket, event: TicketEvent, release: Release, left: int) -> Ticket:
    """Return a ticket as a release leaves it: served, or waiting for the end of the holds on what is left of it."""
    now = release.created_at
    if left:
        return on_hold(ticket, event, held=left, forgotten=ticket.sample_count - left, now=now)
    return replace(advance(ticket, event, now), release_number=release.number)


def replace_orphan(objects: ObjectStore, key: str, data: bytes | Path) -> None:
    """Write an object of a release that the store does not know yet: other bytes there are of no release."""
    try:
        objects.create(key, data)
    except ObjectExistsError:
        objects.delete(key)
        objects.create(key, data)


def read_report(objects: ObjectStore, run: UnlearningRun) -> bytes:
    """Return the report that a run's present attempt ended with.

    Raises:
        DigestMismatchError: it is missing, or not the one that the attempt's outcome names.
    """
    stored = objects.head(f"{attempt_prefix(run.run_id, run.epoch)}/report.json")
    if stored is None or stored.sha256 != run.report_digest:
        raise DigestMismatchError("the report is not the one that the attempt's outcome names")
    return objects.read(stored.key)


def point_to(objects: ObjectStore, release: Release) -> None:
    """Move a lineage's pointer to a release; harmless when it points there or further already.

    A pointer that cannot be read points nowhere and is replaced.

    Raises:
        PointerMovedError: somebody else moved it at the same moment.
    """
    key = pointer_key(release.lineage)
    current = objects.head(key)
    pointer = {
        "lineage": release.lineage,
        "release": release.number,
        "weights": weights_key(release.lineage, release.number),
        "sha256": release.weights_digest,
        "card": card_key(release.lineage, release.number) if release.run_id else None,
    }
    data = canonical_bytes(pointer)
    if current is not None:
        is_there = current.sha256 == hashlib.sha256(data).hexdigest()
        if is_there or pointed_release(objects, release.lineage) > release.number:
            return
    objects.replace(key, data, expected_etag=None if current is None else current.etag)


def pointed_release(objects: ObjectStore, lineage: str) -> int:
    """Return the number of the release that readers of a lineage get; 0 where the pointer is damaged."""
    try:
        return int(json.loads(objects.read(pointer_key(lineage)))["release"])
    except (DigestMismatchError, ValueError, KeyError, TypeError):
        return 0


def _require_digest(content: bytes, digest: str | None, otherwise: str) -> None:
    if hashlib.sha256(content).hexdigest() != digest:
        raise DigestMismatchError(otherwise)


def _card(run: UnlearningRun, release: Release) -> dict[str, object]:
    return {
        "lineage": release.lineage,
        "release": release.number,
        "weights_sha256": release.weights_digest,
        "report_sha256": release.report_digest,
        "report": report_key(release.lineage, run.run_id, "json"),
        "run": run.run_id,
        "forgotten_samples": release.forget_count,
        "architecture": run.spec.architecture.model_dump(mode="json"),
        "created_at": release.created_at.isoformat(),
    }
