"""The job: one attempt from its order to its outcome, and what of it depends on what."""

import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mcu_core import checkpoint, models
from mcu_core.audit.answers import scores_of
from mcu_core.config import (
    AnotherPointRung,
    ReferenceFamilyConfig,
    RetrainConfig,
    RetrainRung,
    TrainConfig,
    UnlearningConfig,
)
from mcu_core.heldout import split_heldout
from mcu_core.images import ImageData
from mcu_core.judging.decide import decide
from mcu_core.report import AttemptSummary, AuditReport, CanaryPlan, Claim, Group, ReferencesPlan, Role, Signal, Verdict
from mcu_core.report.evidence import BatchNormSource
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import ScoreTable, from_parquet
from service import resolution_file
from service.adapters.memory import MemoryObjectStore
from service.domain.judging import judge_report
from service.domain.references import (
    ReferencePlan,
    ReferencePurpose,
    ReferenceRecord,
    family_folder,
    folds_key,
    member_key,
    record_key,
    taint_key,
)
from service.domain.release import weights_key
from service.domain.resolution import Resolution
from service.domain.run import FailureKind, Outcome, RunCanaries, UnlearningRun, WorkOrder, resolution_key
from service.pixel_files import PixelCache
from service.ports import manifest_key
from service.worker.job import work
from service.worker.references import Folds
from tests.audits import RUNG as PATHWAY
from tests.cases import TINY, tiny_config, tiny_runtime
from tests.records import LINEAGE, NOW, SPEC, a_run, an_order_for, digest_of

TRAIN, HELDOUT, CANARIES = 60, 120, 12
ROWS = TRAIN + HELDOUT + CANARIES
FORGET, CANARY_IN, BEFORE, HELD = (0, 2, 5, 11, 20, 41), (1, 9, 33), (7, 13, 50, 51), (3, 30)
CANARY_OUT = (TRAIN + HELDOUT + 1, TRAIN + HELDOUT + 4, TRAIN + HELDOUT + 9)
RETRAIN = RetrainRung(recipe=RetrainConfig(train=TrainConfig(epochs=1, learning_rate=0.05, batch_size=32)))
FOLDS = 2
BASE = checkpoint.to_bytes(models.initialise(TINY, 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run in an object store of its own; the manifest's pixels are the same, whatever else differs."""

    run: UnlearningRun
    order: WorkOrder
    objects: MemoryObjectStore
    folder: Path

    def work(self) -> FailureKind | None:
        self.objects.create(f"{self.order.prefix}/order.json", self.order.to_bytes())
        pixels = PixelCache(root=self.folder / "pixels")
        return work(f"{self.order.prefix}/order.json", self.objects, decoded=pixels, threads=1)

    def read(self, name: str) -> bytes:
        return self.objects.read(f"{self.order.prefix}/{name}")

    @property
    def outcome(self) -> Outcome:
        return Outcome.model_validate_json(self.read("outcome.json"))

    @property
    def report(self) -> AuditReport:
        return AuditReport.model_validate_json(self.read("report.json"))

    @property
    def scores(self) -> ScoreTable:
        return from_parquet(self.read("scores.parquet"))


def pixels_of() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (ROWS, TINY.image_size, TINY.image_size), dtype=np.uint8)


def write_manifest(path: Path, *, spoiled: Collection[int] = (), broken: Collection[int] = ()) -> None:
    """Write a manifest of noise; what is spoiled has another image, what is broken has none that can be decoded."""
    files = []
    for row, image in enumerate(pixels_of()):
        buffer = io.BytesIO()
        Image.fromarray(255 - image if row in spoiled else image).save(buffer, "PNG")
        files.append(b"nobody may read this" if row in broken else buffer.getvalue())
    splits = ["train"] * TRAIN + ["heldout"] * HELDOUT + ["canary"] * CANARIES
    labels = [row % TINY.classes for row in range(ROWS)]
    table = {"sample_id": [f"s{row}" for row in range(ROWS)], "split": splits, "label": labels, "image": files}
    pq.write_table(pa.table(table), path)


def a_job(
    folder: Path,
    *,
    config: UnlearningConfig | None = None,
    canaries: bool = True,
    references: bool = False,
    spoiled: Collection[int] = (),
) -> Job:
    """Return a run that forgets the same rows, as canaries or as the tickets' samples."""
    folder.mkdir(exist_ok=True)
    path = folder / "manifest.parquet"
    write_manifest(path, spoiled=spoiled, broken=HELD)
    manifest = hashlib.sha256(path.read_bytes()).hexdigest()
    resolution = Resolution(
        manifest_digest=manifest,
        train_rows=TRAIN,
        forget=FORGET if canaries else tuple(sorted(FORGET + CANARY_IN)),
        forgotten_before=BEFORE,
        held=HELD,
        canary_included=CANARY_IN if canaries else (),
        canary_excluded=CANARY_OUT if canaries else (),
    )
    objects = MemoryObjectStore()
    objects.create(manifest_key(manifest), path)
    counts = RunCanaries(
        included=len(CANARY_IN),
        excluded=len(CANARY_OUT),
        wanted=3,
        commitment=digest_of("coins"),
        mislabelled=False,
    )
    changes = {
        "base_model_digest": hashlib.sha256(BASE).hexdigest(),
        "architecture": TINY,
        "manifest_digest": manifest,
        "resolution_digest": resolution.digest,
        "forget_count": len(resolution.forget),
        "config": config or tiny_config().model_copy(update={"ladder": (RETRAIN,)}),
        "canaries": counts if canaries else None,
        "audit_family": put_family(objects, manifest).digest if references else None,
    }
    spec = SPEC.model_copy(update=changes)
    run = replace(a_run(), run_id=spec.run_id, spec=spec)
    objects.create(weights_key(spec.lineage, spec.base_release), BASE)
    objects.create(resolution_key(run.run_id), resolution_file.encode(resolution))
    return Job(run=run, order=an_order(run), objects=objects, folder=folder)


def an_order(run: UnlearningRun) -> WorkOrder:
    """Return an order whose plan has the canaries and references of the run."""
    order, counts, family = an_order_for(run), run.spec.canaries, run.spec.audit_family
    canaries = counts and CanaryPlan(
        included=counts.included, excluded=counts.excluded, coin_commitment=counts.commitment
    )
    changes = {
        "canaries": canaries,
        "references": None if family is None else ReferencesPlan(family=family, folds=FOLDS),
        "primary_signal": Signal.PHI if family is None else Signal.CALIBRATED,
    }
    return order.model_copy(update={"plan": order.plan.model_copy(update=changes)})


def put_family(objects: MemoryObjectStore, manifest: str) -> ReferenceRecord:
    """Register two models that nobody trained, for all that was not forgotten before."""
    rows = np.setdiff1d(np.arange(TRAIN), BEFORE)
    dealt = Folds(rows=rows, folds=rows % FOLDS)
    plan = ReferencePlan(
        lineage=LINEAGE,
        manifest_digest=manifest,
        architecture=TINY,
        config=ReferenceFamilyConfig(folds=FOLDS, recipe=RETRAIN.recipe, seed=1),
        purpose=ReferencePurpose.AUDIT,
        folds_digest=hashlib.sha256(dealt.to_bytes()).hexdigest(),
        samples=len(rows),
        left_out=len(BEFORE),
        after_release=1,
    )
    folder = family_folder(LINEAGE, plan.digest)
    objects.create(folds_key(folder), dealt.to_bytes())
    members = [checkpoint.to_bytes(models.initialise(TINY, seed)) for seed in range(FOLDS)]
    stored = [objects.create(member_key(folder, fold), member).sha256 for fold, member in enumerate(members)]
    record = ReferenceRecord(plan=plan, weights=tuple(stored), built_at=NOW)
    objects.create(record_key(folder), record.to_bytes())
    return record


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = a_job(tmp_path_factory.mktemp("job"))
    assert job.work() is None
    return job


# What it leaves behind


def test_an_attempt_ends_with_candidate_scores_report_and_outcome(done: Job) -> None:
    outcome = done.outcome
    for name, digest in (
        ("candidate.safetensors", outcome.candidate_digest),
        ("scores.parquet", outcome.scores_digest),
        ("report.json", outcome.report_digest),
    ):
        assert hashlib.sha256(done.read(name)).hexdigest() == digest
    assert outcome.failure is None
    assert done.report.schema_version == 2


def test_the_report_speaks_of_what_is_stored(done: Job) -> None:
    subjects, facts = done.report.subjects, done.report.evidence.facts
    assert subjects.scores == done.outcome.scores_digest
    assert subjects.candidate == facts.digests[Role.CANDIDATE] == done.outcome.candidate_digest
    assert subjects.base_model == facts.digests[Role.ORIGINAL] == hashlib.sha256(BASE).hexdigest()
    assert subjects.plan == facts.plan == done.order.plan.digest
    assert facts.started_at > done.order.planned_at
    assert facts.batchnorm is BatchNormSource.REPRODUCED


def test_the_report_recomputes_from_scores_plan_and_policy(done: Job) -> None:
    evidence = evidence_of(done.scores, done.order.plan)
    assert evidence == done.report.evidence
    assert decide(evidence, done.order.plan, done.run.spec.policy) == done.report.judgement


def test_the_control_plane_believes_it(done: Job) -> None:
    outcome = done.outcome
    run = replace(
        done.run,
        candidate_digest=outcome.candidate_digest,
        report_digest=outcome.report_digest,
        scores_digest=outcome.scores_digest,
        plan_digest=done.order.plan.digest,
    )
    assert judge_report(done.report, run) is None


def test_every_group_of_the_audit_is_scored(done: Job) -> None:
    table = done.scores
    assert set(table.models) == {Role.ORIGINAL, Role.CANDIDATE, Role.RELEARNED}
    sizes = {group: len(table.rows(group)) for group in Group}
    retained = TRAIN - len(FORGET) - len(CANARY_IN) - len(BEFORE) - len(HELD)
    assert sizes[Group.FORGET] == len(FORGET)
    assert sizes[Group.RETAIN] == done.report.evidence.facts.counts.retain == retained
    assert sizes[Group.CANARY_INCLUDED] == len(CANARY_IN)
    assert sizes[Group.CANARY_EXCLUDED] == len(CANARY_OUT)
    assert sizes[Group.FORGOTTEN_BEFORE] == len(BEFORE)
    assert sizes[Group.TEST] + sizes[Group.CALIBRATION] + sizes[Group.EVALUATION] < HELDOUT  # the rest is D_v
    assert done.report.evidence.facts.shared_rows == 0
    assert table.references is None


def test_earlier_deletions_are_scored_as_the_candidate_answers_them(done: Job) -> None:
    table, digest = done.scores, done.outcome.candidate_digest or ""
    candidate = checkpoint.load(done.read("candidate.safetensors"), models.build(TINY), expected_digest=digest)
    pixels, labels = torch.from_numpy(pixels_of()[:, None]), torch.arange(ROWS) % TINY.classes
    (expected,) = scores_of(tiny_runtime(ImageData(images=pixels, labels=labels)), [candidate], torch.tensor(BEFORE))
    found = table.models[Role.CANDIDATE].phi[table.rows(Group.FORGOTTEN_BEFORE)]
    np.testing.assert_allclose(np.sort(found), np.sort(expected.phi), rtol=1e-4, atol=1e-4)  # float32 by batch
    assert done.report.evidence.forgotten_before is not None


# What the candidate depends on


def test_what_unlearns_cannot_tell_canaries_from_the_tickets_samples(done: Job, tmp_path: Path) -> None:
    plain = a_job(tmp_path, canaries=False)
    assert plain.work() is None
    assert plain.outcome.candidate_digest == done.outcome.candidate_digest
    assert plain.report.evidence.canaries is None


def test_no_bit_of_the_candidate_depends_on_what_the_audit_alone_reads(done: Job, tmp_path: Path) -> None:
    subjects = [f"s{row}" for row in range(TRAIN, TRAIN + HELDOUT)]
    split = split_heldout(subjects, bytes.fromhex(done.order.split_key), done.run.spec.config.heldout)
    of_audit = torch.cat([split.test, split.calibration, split.evaluation]) + TRAIN
    spoiled = {*of_audit.tolist(), *BEFORE, *range(TRAIN + HELDOUT, ROWS)}
    other = a_job(tmp_path, spoiled=spoiled)
    assert other.work() is None
    assert other.run.spec.manifest_digest != done.run.spec.manifest_digest
    assert other.outcome.candidate_digest == done.outcome.candidate_digest
    assert not np.array_equal(other.scores.blind, done.scores.blind)


# References


def test_references_audit_where_the_order_names_them(tmp_path: Path) -> None:
    job = a_job(tmp_path, references=True)
    assert job.work() is None
    table, found = job.scores, job.report.evidence
    assert table.references is not None
    pixels, labels = torch.from_numpy(pixels_of()[:, None]), torch.arange(ROWS) % TINY.classes
    runtime = tiny_runtime(ImageData(images=pixels, labels=labels))
    expected = [
        scores_of(runtime, [models.initialise(TINY, row % FOLDS)], torch.tensor([row]))[0].phi[0] for row in FORGET
    ]
    phi = table.references.phi[table.rows(Group.FORGET)]
    np.testing.assert_allclose(np.sort(phi), np.sort(expected), rtol=1e-4, atol=1e-4)  # float32 by batch
    assert {result.signal for result in found.primary} == {Signal.CALIBRATED}
    assert evidence_of(table, job.order.plan) == found


def test_an_attempt_whose_references_were_tainted_meanwhile_ends_without_a_report(tmp_path: Path) -> None:
    job = a_job(tmp_path, references=True)
    (folder,) = {key.rpartition("/")[0] for key in job.objects.keys("references")}
    job.objects.create(taint_key(folder), b"{}")
    assert job.work() is FailureKind.INPUT
    assert "forgotten by now" in job.outcome.message
    assert job.objects.head(f"{job.order.prefix}/report.json") is None


# Pathways


def test_a_later_attempt_takes_another_point_of_the_earlier_ones_pathway(tmp_path: Path) -> None:
    another = AnotherPointRung(selection=PATHWAY.selection)
    first = a_job(tmp_path, config=tiny_config().model_copy(update={"ladder": (PATHWAY, another)}))
    assert first.work() is None
    summary = AttemptSummary(
        attempt=1,
        rung=0,
        rung_kind="mcu",
        verdict=Verdict.REJECT,
        claim=Claim.NOTHING,
        plan_digest=first.order.plan.digest,
        report_digest=first.outcome.report_digest or "",
    )
    run = replace(first.run, epoch=2, rung_index=1, pathway_epoch=1, attempts=(summary,))
    second = replace(first, run=run, order=an_order(run))
    assert second.work() is None
    tried, chosen = (job.report.evidence.facts.chosen_t for job in (first, second))
    assert tried is not None
    assert chosen is not None
    assert tried != chosen
    assert second.report.previous_attempts == (summary,)
    for job in (first, second):
        assert job.report.evidence.facts.batchnorm is BatchNormSource.REPRODUCED


# What is refused


def test_rows_of_another_resolution_than_the_specifications_are_refused(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    key = resolution_key(job.run.run_id)
    resolution = resolution_file.decode(job.objects.read(key))
    job.objects.overwrite(key, resolution_file.encode(replace(resolution, forget=FORGET[1:])))
    assert job.work() is FailureKind.INPUT
    assert "not the one of the specification" in job.outcome.message


def test_another_manifest_under_the_specifications_name_is_refused(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    write_manifest(tmp_path / "other.parquet", spoiled=[40])
    job.objects.overwrite(manifest_key(job.run.spec.manifest_digest), (tmp_path / "other.parquet").read_bytes())
    assert job.work() is FailureKind.INPUT
    assert "the stored manifest has SHA-256" in job.outcome.message


def test_another_base_model_than_the_specifications_is_refused(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    other = checkpoint.to_bytes(models.initialise(TINY, 6))
    job.objects.overwrite(weights_key(LINEAGE, job.run.spec.base_release), other)
    assert job.work() is FailureKind.INPUT
    assert job.objects.head(f"{job.order.prefix}/candidate.safetensors") is None
