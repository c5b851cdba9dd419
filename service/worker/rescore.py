"""SCORE once more, after a run, from the published candidate: what level 3 of verification compares."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from mcu_core import checkpoint, pipeline
from mcu_core.references import ReferenceFamily
from mcu_core.report import AuditReport, Role, Signal
from mcu_core.runtime import runtime_of
from mcu_core.statistics.scores import ScoreTable, from_parquet
from mcu_core.types import Candidate, Outcome, ProgressUpdate
from mcu_core.whole_files import locked
from service.domain.run import WorkOrder
from service.errors import ObjectMissingError
from service.ports import ObjectStore
from service.premises import Premises
from service.worker.auditing import score_candidate
from service.worker.manifest_file import fetch_manifest
from service.worker.posing import PosedRun, read_and_pose
from service.worker.references import load_auditors
from service.worker.threads import use_threads

_PREFIX = ".rescored-"
Told = Callable[[str, int, int], None]
"""Is told what is being done, and how many steps of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescorer:
    """Scores audits once more.

    Attributes:
        objects: manifest and references are read from there.
        folder: what is decoded goes into a folder of its own in it, which is gone before anything is scored: deleted
            samples are among it, and none may come back to what jobs keep.
        told: of the progress.
        threads: CPU threads; `None` takes the idle cores.
    """

    objects: ObjectStore
    folder: Path
    told: Told
    threads: int | None = None

    def rescore(self, premises: Premises, report: AuditReport) -> ScoreTable:
        """Pose the problem as the attempt's job did, and score the candidate.

        The pre-unlearned model was purged with the run. References that are purged by now, since the release has
        tainted them, are left out, and the plan that is scored by has none.

        Args:
            premises: of the attempt.
            report: of the attempt; the candidate's name and its place on the pathway are taken from there.

        Raises:
            DataError: a sample is gone or is not what the manifest promises.
            CheckpointError, ArchitectureError, ConfigurationError, DivergedError: as in the job.
            ObjectMissingError, DigestMismatchError, PermanentError: of manifest and references, likewise.
        """
        stated, threads = report.evidence.facts, use_threads(self.threads)
        posed = self._posed(premises, threads)
        digest = report.subjects.candidate
        candidate = checkpoint.load(premises.candidate, posed.problem.model, expected_digest=digest)
        asked_for = posed.asked_for
        outcome = Outcome(
            name=stated.names[Role.CANDIDATE],
            candidate=Candidate(t=stated.chosen_t, state=candidate),
            references=pipeline.measure_references(asked_for, runtime_of(asked_for, premises.order.spec.config)),
            seconds={},
        )
        auditors = self._auditors(premises.order, posed.problem.model)
        order = premises.order if auditors is not None else _without_references(premises.order)
        scores = score_candidate(
            order,
            posed.labelled,
            posed.audited,
            outcome,
            started_at=stated.started_at,
            given=posed.problem,
            references=() if auditors is None else (auditors,),
            progress=self._progress,
        )
        return from_parquet(scores)

    def _posed(self, premises: Premises, threads: int) -> PosedRun:
        order = premises.order
        with self._own_folder() as folder:  # what is mapped stays readable
            manifest = Path(folder) / "manifest.parquet"
            fetch_manifest(self.objects, order.spec.manifest_digest, manifest)
            return read_and_pose(
                order,
                premises.resolution,
                manifest,
                premises.original,
                folder=Path(folder) / "pixels",
                threads=threads,
                progress=lambda done, total: self.told("decode", done, total),
            )

    @contextmanager
    def _own_folder(self) -> Iterator[str]:
        """Yield a folder that is gone afterwards, one process at a time, and remove what killed ones left of theirs."""
        with locked(self.folder / f"{_PREFIX}lock"):
            for left in self.folder.glob(f"{_PREFIX}*/"):
                shutil.rmtree(left)
            with TemporaryDirectory(prefix=_PREFIX, dir=self.folder) as folder:
                yield folder

    def _auditors(self, order: WorkOrder, model: nn.Module) -> ReferenceFamily | None:
        try:
            return load_auditors(order, self.objects, model, even_tainted=True)
        except ObjectMissingError:
            return None

    def _progress(self, update: ProgressUpdate) -> None:
        self.told("score", update.epoch * update.steps + update.step, update.epochs * update.steps)


def _without_references(order: WorkOrder) -> WorkOrder:
    plan = order.plan.model_copy(update={"references": None, "primary_signal": Signal.PHI})
    return order.model_copy(update={"plan": plan})
