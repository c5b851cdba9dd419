"""What an audit rested on, gathered once more after its run: the row numbers and the split key are not kept.

Nothing of it is taken on trust: each part is held against what the plan committed to before the run.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from mcu_core.report import AuditReport
from service.batching import draw_canaries, resolution_of
from service.domain.canary import NO_CANARIES, CanaryBatch, batch_of
from service.domain.commitment import CommitmentKey
from service.domain.model import Model
from service.domain.receipt import forgotten_set
from service.domain.release import Release, weights_key
from service.domain.resolution import Resolution
from service.domain.run import UnlearningRun, WorkOrder
from service.errors import PremiseError
from service.held_samples import frozen_holds
from service.planning import requested_samples
from service.ports import ManifestSource, ObjectStore, Store, manifest_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """Everything that SCORE was given, but for the manifest and the references, which lie in the object store."""

    order: WorkOrder
    """As the attempt was given it, in all that the audit reads of it."""
    resolution: Resolution
    original: bytes
    candidate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PremiseSource:
    """Knows where the premises of published runs lie."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    key: CommitmentKey

    def gather(
        self,
        report: AuditReport,
        planned_at: int,
        *,
        original: bytes | None = None,
        candidate: bytes | None = None,
    ) -> Premises:
        """Return what the audit of a published attempt rested on.

        1. The run and its specification. 2. Weights and manifest. 3. The key that split the held-out samples. 4. The
        rows: what the run's tickets name, what was forgotten before, and the run's canaries.

        Args:
            report: of the attempt.
            planned_at: when its plan was signed, microseconds since 1970-01-01 UTC.
            original: weights that somebody kept, in place of the object store's.
            candidate: likewise.

        Raises:
            PremiseError: something is missing, or not what the plan and the report name; the message says what.
            ManifestError: the manifest can no longer be read.
            DigestMismatchError: an object is not what was written.
        """
        plan = report.plan
        # 1. Run
        run = self.store.run(plan.run_id)
        model = self.store.model(plan.lineage)
        release = next((each for each in self.store.releases(plan.lineage) if each.run_id == plan.run_id), None)
        if run is None or model is None or release is None:
            raise PremiseError(f"this service has published no run {plan.run_id}: go where the data of its service are")
        _require(run.spec.digest == plan.spec, "the specification of the run is another one than the plan names")
        told, right = (
            (report.config, report.seed, plan.policy),
            (run.spec.config, run.spec.seed, run.spec.policy.digest),
        )
        _require(told == right, "the report tells of other settings than the run's specification")
        # 2. Weights and manifest
        self._require_present(run, release, has_original=original is not None, has_candidate=candidate is not None)
        if original is None:
            original = self.objects.read(weights_key(run.lineage, run.spec.base_release))
        if candidate is None:
            candidate = self.objects.read(weights_key(run.lineage, release.number))
        _require(_digest(original) == plan.base_model, "these weights of the original are not those of the plan")
        _require(_digest(candidate) == report.subjects.candidate, "these weights are not those that were audited")
        # 3. Split key
        split_key = self.key.split_key(plan.manifest)
        text = "the plan committed to another key of the held-out samples: the service's commitment key was replaced"
        _require(_digest(bytes.fromhex(split_key)) == plan.split_commitment, text)
        # 4. Rows
        resolution = self._resolution(run, model, release, report)
        order = WorkOrder(
            run_id=run.run_id,
            spec=run.spec,
            epoch=report.attempt,
            rung_index=report.rung,
            plan=plan,
            tickets=report.deletion.tickets,
            planned_at=planned_at,
            pathway_epoch=None,  # what the candidate was made from is not asked for
            previous_attempts=report.previous_attempts,
            split_key=split_key,
        )
        return Premises(order=order, resolution=resolution, original=original, candidate=candidate)

    def _require_present(
        self, run: UnlearningRun, release: Release, *, has_original: bool, has_candidate: bool
    ) -> None:
        base, number = run.spec.base_release, release.number
        wanted = {
            f"the manifest {run.spec.manifest_digest}": manifest_key(run.spec.manifest_digest),
            f"the weights of the original (release {base})": None if has_original else weights_key(run.lineage, base),
            f"the weights of the candidate (release {number})": (
                None if has_candidate else weights_key(run.lineage, number)
            ),
        }
        missing = [what for what, key in wanted.items() if key is not None and self.objects.head(key) is None]
        purged = [
            f"release {purge.number} was purged on {purge.purged_at:%Y-%m-%d}, since it knows what was deleted later"
            for purge in self.store.purges(run.lineage)
            if purge.purged_at is not None and purge.number in {base, number}
        ]
        why = "; ".join(["nothing can be scored without", *purged])
        _require(not missing, f"the object store no longer has {' and '.join(missing)}: {why}")

    def _resolution(self, run: UnlearningRun, model: Model, release: Release, report: AuditReport) -> Resolution:
        requested = requested_samples(run, self.store, self.manifests)
        since = self.store.forgotten_rows(run.lineage)
        before = {row: number for row, number in since.items() if number < release.number}
        held = frozen_holds(run, self.store, self.manifests)
        rows = requested.keys() - before.keys()
        batches = self._canaries(run, model, rows | held.rows, before)
        resolutions = (resolution_of(model, rows, before, canaries, held) for canaries in batches)
        found = next((each for each in resolutions if each.digest == report.plan.resolution), None)
        if found is None:
            raise PremiseError("the run's tickets, canaries and earlier deletions are not the rows that the plan names")
        root = forgotten_set(self.key, run.run_id, [requested[row] for row in found.forget]).root
        _require(root == report.plan.forget_root, "the plan committed to other samples than the run's tickets name")
        return found

    def _canaries(
        self, run: UnlearningRun, model: Model, rows: Collection[int], before: Collection[int]
    ) -> list[CanaryBatch]:
        """Return what the run's canaries may have been; the resolution's digest says which.

        A later run may have taken those that nothing was trained on once more: then they are drawn anew.
        """
        counts = run.spec.canaries
        if counts is None:
            return [NO_CANARIES]
        known = self.store.canaries(run.lineage)
        drawn = draw_canaries(model, known, rows, before, sequence=run.spec.sequence, most=counts.wanted)
        return [batch_of(known, run.run_id), drawn]


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise PremiseError(text)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
