"""Plans of audits: what an audit will do is fixed, signed and in the ledger before anything is unlearned."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from mcu_core.report import AuditPlan, AuditReport, CanaryPlan, ReferencesPlan, Signal
from service.attestation import REPORT, PlanStatement, attest, microseconds, plan_statement, read_statement
from service.domain.commitment import CommitmentKey
from service.domain.receipt import ForgottenSet, forgotten_set
from service.domain.run import RunSpec, UnlearningRun, attempt_prefix, plan_envelope_key, plan_key
from service.errors import DigestMismatchError, ObjectMissingError
from service.ports import Clock, ManifestSource, ObjectStore, Store
from service.references import ReferenceRegister
from service.signing import Signer, read_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Plans and attests the audit of each attempt."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    clock: Clock
    key: CommitmentKey
    signer: Signer
    references: ReferenceRegister
    forget_rows: Callable[[UnlearningRun], tuple[int, ...]]
    """Reads D_f of a run, canaries apart, from its resolution."""

    def plan(self, run: UnlearningRun) -> AuditPlan:
        """Return the plan of a run's present attempt; it and its envelope lie beside the attempt when this returns.

        A plan that is there already is the attempt's: a crash came between it and the ledger. But nobody else's is:
        whoever computes can write to the object store, too.

        Raises:
            DigestMismatchError: what is there is not what this attempt's audit is to do.
            ObjectStoreUnavailableError: nothing can be written now.
            SignatureError: the key cannot sign.
        """
        key, fresh = plan_key(run.run_id, run.epoch), self._fresh(run)
        if self.objects.head(key) is None:
            self.objects.create(key, fresh.to_bytes())
        plan = AuditPlan.model_validate_json(self.objects.read(key))
        expected = fresh.model_copy(update={"created_at": min(plan.created_at, fresh.created_at)})
        if plan != expected:
            raise DigestMismatchError("the plan that lies there is not the attempt's")
        envelope_key = plan_envelope_key(run.run_id, run.epoch)
        if self.objects.head(envelope_key) is None:
            statement = plan_statement(plan, attested_at=self.clock.now())
            self.objects.create(envelope_key, attest(statement, self.signer))
        return plan

    def planned(self, run: UnlearningRun) -> tuple[AuditPlan, int]:
        """Return the plan of a run's present attempt as it lies there, and when it was signed, in microseconds.

        Raises:
            ObjectMissingError: it was not planned.
            SignatureError: the envelope beside it is damaged.
        """
        plan = AuditPlan.model_validate_json(self.objects.read(plan_key(run.run_id, run.epoch)))
        envelope = read_envelope(self.objects.read(plan_envelope_key(run.run_id, run.epoch)))
        return plan, read_statement(PlanStatement, envelope.payload).predicate.attested_at

    def forgotten(self, run: UnlearningRun) -> ForgottenSet:
        """Return the commitments to the samples of the run's tickets that this run forgets."""
        rows, requested = set(self.forget_rows(run)), requested_samples(run, self.store, self.manifests)
        return forgotten_set(self.key, run.run_id, [requested[row] for row in requested if row in rows])

    def _auditors(self, run: UnlearningRun) -> ReferencesPlan | None:
        """Return the references that the run's specification names.

        Raises:
            ObjectMissingError: they are gone.
        """
        name = run.spec.audit_family
        if name is None:
            return None
        records = (family.record for family in self.references.families(run.lineage))
        found = next((record for record in records if record is not None and record.digest == name), None)
        if found is None:
            raise ObjectMissingError(f"{run.run_id}: the references that were to audit are gone")
        return ReferencesPlan(family=name, folds=found.plan.config.folds)

    def _fresh(self, run: UnlearningRun) -> AuditPlan:
        spec, audit = run.spec, run.spec.config.audit
        auditors = self._auditors(run)
        return AuditPlan(
            run_id=run.run_id,
            lineage=run.lineage,
            attempt=run.epoch,
            rung=run.rung_index,
            audits_before=len(run.attempts),
            base_model=spec.base_model_digest,
            manifest=spec.manifest_digest,
            resolution=spec.resolution_digest,
            policy=spec.policy.digest,
            spec=spec.digest,
            forget_count=spec.forget_count,
            forget_root=self.forgotten(run).root,
            split_commitment=hashlib.sha256(bytes.fromhex(self.key.split_key(spec.manifest_digest))).hexdigest(),
            primary_signal=Signal.PHI if auditors is None else Signal.CALIBRATED,
            references=auditors,
            canaries=_canaries(run.spec),
            seed=spec.seed,
            tail_level=spec.policy.tail_level,
            confidence=audit.confidence,
            retain_images=audit.retain_images,
            svc_samples=audit.svc_samples,
            created_at=max(microseconds(self.clock.now()), self._last_start(run) + 1),
        )

    def _last_start(self, run: UnlearningRun) -> int:
        """Return when the last audited attempt began, by its worker's clock; 0 before there is one.

        A plan is later than that, whatever the clocks say, so that the attempts stay in their order.
        """
        if not run.attempts:
            return 0
        last = run.attempts[-1]
        data = self.objects.read(f"{attempt_prefix(run.run_id, last.attempt)}/{REPORT}")
        if hashlib.sha256(data).hexdigest() != last.report_digest:
            raise DigestMismatchError("the report of the last attempt is not the one that was judged")
        return AuditReport.model_validate_json(data).evidence.facts.started_at


def requested_samples(run: UnlearningRun, store: Store, manifests: ManifestSource) -> dict[int, str]:
    """Return row and id of every training sample that the run's tickets name, whether forgotten before or not."""
    ids: dict[int, str] = {}
    for ticket_id in run.ticket_ids:
        named = store.sample_ids(ticket_id)
        found = manifests.resolve(run.spec.manifest_digest, named)
        unknown = {*found.unknown_positions, *found.heldout_positions}
        known = (sample_id for position, sample_id in enumerate(named) if position not in unknown)
        ids |= dict(zip(found.rows, known, strict=True))
    return ids


def _canaries(spec: RunSpec) -> CanaryPlan | None:
    """Return the canaries of a run; without some of both kinds there is nothing to compare."""
    found = spec.canaries
    if found is None or not found.included or not found.excluded:
        return None
    return CanaryPlan(
        included=found.included, excluded=found.excluded, coin_commitment=found.commitment, wanted=found.wanted
    )
