"""Workers whose author may have got something wrong: every step is the real worker's unless a test replaces it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mcu_core import checkpoint, pipeline
from mcu_core.report import AuditReport
from mcu_core.types import Outcome as Made
from service import resolution_file
from service.domain.release import weights_key
from service.domain.run import EXIT_CODES, FailureKind, Outcome, WorkOrder, resolution_key
from service.pixel_files import PixelCache
from service.ports import ObjectStore, manifest_key
from service.worker.auditing import report_on, run_seed, score_candidate, start_of_run
from service.worker.job import failure_kind, work
from service.worker.posing import PosedRun, read_and_pose
from tests.attempts import Attempt


def unlearn(order: WorkOrder, posed: PosedRun) -> Made:
    """Do what the order's rung says."""
    return pipeline.run(posed.problem, order.rung, order.spec.config, run_seed(order))


def score(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
    """Score what was made."""
    return score_candidate(order, posed.labelled, posed.audited, made, started_at=start_of_run(order))


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a job does."""

    decoded: PixelCache
    unlearn: Callable[[WorkOrder, PosedRun], Made] = unlearn
    score: Callable[[WorkOrder, PosedRun, Made], bytes] = score
    report: Callable[[WorkOrder, bytes, str], AuditReport] = report_on
    promise: Callable[[Outcome], Outcome] = lambda outcome: outcome
    """Last thing before the outcome is written."""

    def __call__(self, order: WorkOrder, objects: ObjectStore) -> int:
        """Make one attempt and return the job's exit code."""
        try:
            outcome = self._attempt(order, objects)
        except Exception as error:  # noqa: BLE001 - as the real worker does
            outcome = Outcome(failure=failure_kind(error, order), message=f"{type(error).__name__}: {error}")
        objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
        return _exit_code(outcome.failure)

    def _attempt(self, order: WorkOrder, objects: ObjectStore) -> Outcome:
        posed = _posed(order, objects, self.decoded)
        made = self.unlearn(order, posed)
        stored = objects.create(f"{order.prefix}/candidate.safetensors", checkpoint.to_bytes(made.candidate.state))
        read = checkpoint.load(objects.read(stored.key), posed.problem.model, expected_digest=stored.sha256)
        scores = objects.create(f"{order.prefix}/scores.parquet", self.score(order, posed, made.with_candidate(read)))
        report = self.report(order, objects.read(scores.key), stored.sha256)
        written = objects.create(f"{order.prefix}/report.json", report.to_bytes())
        return self.promise(
            Outcome(candidate_digest=stored.sha256, report_digest=written.sha256, scores_digest=scores.sha256)
        )


def real(decoded: PixelCache, *, keep: dict[str, bytes] | None = None) -> Attempt:
    """Return the real worker; a copy of what it stores goes to `keep`."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        failure = work(f"{order.prefix}/order.json", objects, decoded=decoded, threads=1)
        if keep is not None:
            keep.update((key.removeprefix(f"{order.prefix}/"), objects.read(key)) for key in objects.keys(order.prefix))
        return _exit_code(failure)

    return attempt


def replayed(
    stored: Mapping[str, bytes],
    *,
    promise: Callable[[Outcome], Outcome] = lambda outcome: outcome,
    afterwards: Callable[[WorkOrder, ObjectStore], None] = lambda _order, _objects: None,
) -> Attempt:
    """Return an attempt that stores what another one of the same order did, then something of its own."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        names = ("candidate.safetensors", "scores.parquet", "report.json")
        candidate, scores, report = (objects.create(f"{order.prefix}/{name}", stored[name]).sha256 for name in names)
        outcome = Outcome(candidate_digest=candidate, scores_digest=scores, report_digest=report)
        objects.create(f"{order.prefix}/outcome.json", promise(outcome).to_bytes())
        afterwards(order, objects)
        return 0

    return attempt


def _posed(order: WorkOrder, objects: ObjectStore, decoded: PixelCache) -> PosedRun:
    spec = order.spec
    resolution = resolution_file.decode(objects.read(resolution_key(order.run_id)))
    base = objects.read(weights_key(spec.lineage, spec.base_release))
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.parquet"
        objects.download(manifest_key(spec.manifest_digest), manifest)
        pixels = decoded.folder(spec.lineage, spec.manifest_digest)
        return read_and_pose(order, resolution, manifest, base, folder=pixels)


def _exit_code(failure: FailureKind | None) -> int:
    return 0 if failure is None else EXIT_CODES[failure]
