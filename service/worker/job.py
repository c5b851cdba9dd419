"""The unlearning job: a work order in, candidate and report out. The only door to torch.

The worker knows no database and no sample id: it reads its order, the resolution, the manifest and the base model from
the object store, and writes under its attempt's own folder. Its outcome is written last.
"""

import contextlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
import torch

from mcu_core import checkpoint, pipeline
from mcu_core.config import AnotherPointRung
from mcu_core.errors import ConfigurationError, CoreError, DivergedError, NoEffectError
from mcu_core.parallel import joined, leave
from mcu_core.report import AuditReport, Role
from mcu_core.runtime import runtime_of
from mcu_core.types import Outcome as CoreOutcome
from mcu_core.types import Pathway, Phase, PreviousPathway, Problem, ProgressUpdate
from service import resolution_file
from service.domain.release import weights_key
from service.domain.run import (
    FailureKind,
    Outcome,
    ProgressSnapshot,
    WorkOrder,
    attempt_prefix,
    resolution_key,
)
from service.errors import BaselineMismatchError, PermanentError, TemporaryError
from service.pixel_files import PixelCache
from service.ports import ObjectStore
from service.worker.auditing import report_on, run_seed, score_candidate, start_of_run
from service.worker.manifest_file import fetch_manifest
from service.worker.posing import read_and_pose
from service.worker.references import load_auditors, with_teacher
from service.worker.threads import use_threads

PROGRESS_SECONDS = 0.5
"""Shortest time between two notes of progress."""
BASELINE_TOLERANCE = 0.01
"""Measured train accuracy may differ from the registered one by this; more means other data or other preprocessing."""

_log = structlog.get_logger()


def work(
    order_key: str, objects: ObjectStore, *, decoded: PixelCache, threads: int | None = None
) -> FailureKind | None:
    """Do one attempt.

    1. Read the order, the rows, the manifest and the base model, all checked against their digests.
    2. Decode the samples that the run may read.
    3. Unlearn, and store the candidate.
    4. Read the candidate back, score what was stored, and store the scores.
    5. Compute the evidence from the scores, judge, and write the report.
    6. Write the outcome: only now does the attempt count.

    Started by `torchrun --nproc-per-node N -m service work ORDER`, N processes do step 3 together. The first one alone
    writes anything and goes on to step 4; the others end there.

    Args:
        order_key: where the work order lies in the object store.
        objects: the object store.
        decoded: keeps decoded images for later attempts and runs of the lineage.
        threads: CPU threads; `None` takes the idle cores.

    Returns:
        `None` when a candidate was judged, whatever the verdict, else the kind of failure.
    """
    threads = use_threads(threads)
    order = WorkOrder.model_validate_json(objects.read(order_key))
    with joined() as rank:
        notes = _ProgressNotes(objects=objects, key=f"{order.prefix}/progress.json", is_silent=rank > 0)
        try:
            with TemporaryDirectory() as folder:
                outcome = _attempt(order, objects, Path(folder), notes, decoded=decoded, threads=threads, rank=rank)
        except Exception as error:  # noqa: BLE001 - whatever happens must reach the control plane as an outcome
            kind = failure_kind(error, order)
            _log.exception("attempt failed", run_id=order.run_id, epoch=order.epoch, kind=kind.value)
            outcome = Outcome(failure=kind, message=_message(error))
    if outcome is None:
        return None
    if rank == 0:
        objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
    return outcome.failure


def failure_kind(error: Exception, order: WorkOrder) -> FailureKind:
    """Return what kind of failure an exception is; whatever is unknown may pass when it is tried again."""
    kind = FailureKind.TRANSIENT
    match error:
        case ConfigurationError() if isinstance(order.rung, AnotherPointRung):
            kind = FailureKind.QUALITY  # the pathway has no other point to offer
        case DivergedError():
            kind = FailureKind.QUALITY
        case NoEffectError():
            kind = FailureKind.NO_EFFECT
        case MemoryError() | torch.OutOfMemoryError():
            kind = FailureKind.RESOURCE
        case CoreError() | PermanentError():
            kind = FailureKind.INPUT
    return kind


def _message(error: Exception) -> str:
    # Only messages of our own tree are known to hold no id of a sample.
    known = isinstance(error, CoreError | PermanentError | TemporaryError)
    return str(error) if known else type(error).__name__


def _attempt(
    order: WorkOrder,
    objects: ObjectStore,
    folder: Path,
    notes: "_ProgressNotes",
    *,
    decoded: PixelCache,
    threads: int,
    rank: int,
) -> Outcome | None:
    """Return how it ended; `None` on a rank that only helped to unlearn."""
    spec, started_at = order.spec, start_of_run(order)
    if spec.run_id != order.run_id:
        raise PermanentError("the order's specification is not the run's")
    # 1. Inputs
    resolution = resolution_file.decode(objects.read(resolution_key(order.run_id)))
    if resolution.digest != spec.resolution_digest:
        raise PermanentError("the resolution is not the one of the specification")
    manifest = folder / "manifest.parquet"
    fetch_manifest(objects, spec.manifest_digest, manifest)
    base = objects.read(weights_key(spec.lineage, spec.base_release))
    # 2. Samples
    pixels = decoded.folder(spec.lineage, spec.manifest_digest)
    posed = read_and_pose(order, resolution, manifest, base, folder=pixels, threads=threads, progress=notes.decoding)
    problem = posed.problem
    _require_baseline(order, problem)
    problem = with_teacher(order, problem, objects)
    # 3. Unlearn
    outcome = pipeline.run(
        problem,
        order.rung,
        spec.config,
        run_seed(order),
        previous=_previous_pathway(order, objects, problem),
        progress=notes.training,
    )
    leave()
    if rank > 0:
        return None
    candidate = objects.create(f"{order.prefix}/candidate.safetensors", checkpoint.to_bytes(outcome.candidate.state))
    _store_pathway(order, objects, outcome)
    # 4. Score what was stored
    stored = checkpoint.load(objects.read(candidate.key), problem.model, expected_digest=candidate.sha256)
    outcome = outcome.with_candidate(stored)
    if posed.audited.canaries is not None:
        asked_for = posed.asked_for
        references = pipeline.measure_references(asked_for, runtime_of(asked_for, spec.config))
        outcome = replace(outcome, references=references)
    auditors = load_auditors(order, objects, problem.model)
    scores = score_candidate(
        order,
        posed.labelled,
        posed.audited,
        outcome,
        started_at=started_at,
        given=posed.problem,
        references=() if auditors is None else (auditors,),
        progress=notes.training,
    )
    kept = objects.create(f"{order.prefix}/scores.parquet", scores)
    # 5. Judge
    report = report_on(order, scores, candidate.sha256)
    written = objects.create(f"{order.prefix}/report.json", report.to_bytes())
    # 6. Outcome
    return Outcome(candidate_digest=candidate.sha256, report_digest=written.sha256, scores_digest=kept.sha256)


def _store_pathway(order: WorkOrder, objects: ObjectStore, outcome: CoreOutcome) -> None:
    """Keep a fresh pathway for the rung above; it is purged with the run."""
    if isinstance(order.rung, AnotherPointRung) or outcome.pathway is None:
        return
    objects.create(f"{order.prefix}/pathway.safetensors", checkpoint.pathway_to_bytes(outcome.pathway))


def _previous_pathway(order: WorkOrder, objects: ObjectStore, problem: Problem) -> PreviousPathway | None:
    if not isinstance(order.rung, AnotherPointRung) or order.pathway_epoch is None:
        return None
    stored = objects.head(f"{attempt_prefix(order.run_id, order.pathway_epoch)}/pathway.safetensors")
    if stored is None:
        raise PermanentError("the pathway of the earlier attempt is gone")
    pathway: Pathway = checkpoint.load_pathway(
        objects.read(stored.key), problem.original.params, expected_digest=stored.sha256
    )
    reports = {
        attempt.attempt: AuditReport.model_validate_json(
            objects.read(f"{attempt_prefix(order.run_id, attempt.attempt)}/report.json")
        )
        for attempt in order.previous_attempts
    }
    found = reports[order.pathway_epoch].evidence.facts
    if found.pathway is None:
        raise PermanentError("the report of the earlier attempt tells nothing of its pathway")
    paths = (report.evidence.facts.pathway for report in reports.values())
    return PreviousPathway(
        name=found.names[Role.CANDIDATE],
        pre_unlearning=found.names[Role.PRE_UNLEARNED],
        pathway=pathway,
        report=found.pathway,
        tried=tuple(path.chosen_t for path in paths if path is not None),
        seconds={phase: spent for phase, spent in found.phase_seconds.items() if phase != Phase.AUDIT.value},
    )


def _require_baseline(order: WorkOrder, problem: Problem) -> None:
    claimed = order.spec.baseline_train_accuracy
    if claimed is None or order.rung_index > 0:
        return  # the first rung was judged only after this check, in whichever attempt
    measured = pipeline.measure_references(problem, runtime_of(problem, order.spec.config)).train_accuracy
    if abs(claimed - measured) > BASELINE_TOLERANCE:
        raise BaselineMismatchError(
            f"the model was registered with a train accuracy of {claimed:.4f}, on the manifest it has {measured:.4f}: "
            "data, labels or normalisation are not those of its training"
        )


@dataclass(slots=True, kw_only=True)
class _ProgressNotes:
    """Writes how far the attempt is, at most every half second; nothing depends on these notes."""

    objects: ObjectStore
    key: str
    is_silent: bool = False
    started: float = field(default_factory=time.monotonic)
    written: float = 0.0
    phase: str = ""
    phase_started: float = 0.0

    def decoding(self, done: int, total: int) -> None:
        """Note how many rows are decoded."""
        self._note("decode", 0, 1, done, total)

    def training(self, update: ProgressUpdate) -> None:
        """Note how far a phase of the core is."""
        self._note(update.phase.value, update.epoch, update.epochs, update.step, update.steps)

    def _note(self, phase: str, epoch: int, epochs: int, step: int, steps: int) -> None:
        now = time.monotonic()
        if phase != self.phase:
            self.phase, self.phase_started = phase, now
        elif now - self.written < PROGRESS_SECONDS:
            return
        if self.is_silent:
            return
        self.written = now
        share = (epoch * steps + step) / max(1, epochs * steps)
        spent = now - self.phase_started
        snapshot = ProgressSnapshot(
            phase=phase,
            epoch=epoch,
            epochs=epochs,
            step=step,
            steps=steps,
            seconds=now - self.started,
            seconds_left=spent * (1 - share) / share if share > 0 and spent > 0 else None,
        )
        with contextlib.suppress(TemporaryError):
            self.objects.overwrite(self.key, snapshot.to_bytes())
