"""What the control plane makes sure of before it believes a worker's report."""

from dataclasses import dataclass

from mcu_core.report import AuditReport, Evidence
from service.domain.comparison import FLOAT_TOLERANCE, document_difference
from service.domain.judging import judge_report, report_of
from service.domain.run import Outcome, UnlearningRun, WorkOrder, attempt_prefix
from service.errors import DigestMismatchError, NotRecomputableError
from service.ports import ObjectStore, StoredObject
from service.recomputation import Recompute


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Repeats everything of an audit that needs neither model nor samples."""

    objects: ObjectStore
    recompute: Recompute

    def refusal(self, report: AuditReport, run: UnlearningRun) -> str | None:
        """Return why a report is not believed; `None` when everything it says holds.

        1. It speaks of this run and this attempt, and the gate gives its verdict on its evidence: `judge_report`.
        2. Its evidence follows from the stored scores: STATS, run again on them.

        Raises:
            DigestMismatchError: the stored scores are not those that the attempt's outcome names.
        """
        wrong = judge_report(report, run)
        if wrong is not None:
            return wrong
        try:
            evidence = self.recompute(self._scores(run), report.plan)
        except NotRecomputableError as error:
            return error.message
        return _other_evidence(report.evidence, evidence)

    def finished(self, run: UnlearningRun) -> Outcome | None:
        """Return the outcome of an attempt that scored its candidate and did not say so; `None` where it has not.

        Such an attempt was audited, whatever became of its job: were it tried again uncounted, a job could be ended
        after every verdict that somebody does not like. A report that is missing follows from the scores.
        """
        prefix = attempt_prefix(run.run_id, run.epoch)
        candidate = self.objects.head(f"{prefix}/candidate.safetensors")
        scores = self.objects.head(f"{prefix}/scores.parquet")
        if candidate is None or scores is None:
            return None
        report = self.objects.head(f"{prefix}/report.json") or self._reported(prefix, candidate, scores)
        if report is None:
            return None
        return Outcome(candidate_digest=candidate.sha256, report_digest=report.sha256, scores_digest=scores.sha256)

    def _reported(self, prefix: str, candidate: StoredObject, scores: StoredObject) -> StoredObject | None:
        order = WorkOrder.model_validate_json(self.objects.read(f"{prefix}/order.json"))
        try:
            evidence = self.recompute(self.objects.read(scores.key), order.plan)
        except NotRecomputableError:
            return None
        report = report_of(order, evidence, candidate_digest=candidate.sha256, scores_digest=scores.sha256)
        return self.objects.create(f"{prefix}/report.json", report.to_bytes())

    def _scores(self, run: UnlearningRun) -> bytes:
        stored = self.objects.head(f"{attempt_prefix(run.run_id, run.epoch)}/scores.parquet")
        if stored is None or stored.sha256 != run.scores_digest:
            raise DigestMismatchError("the scores are not those that the attempt's outcome names")
        return self.objects.read(stored.key)


def _other_evidence(stated: Evidence, computed: Evidence) -> str | None:
    difference = document_difference(stated, computed, tolerance=FLOAT_TOLERANCE, path="evidence")
    return None if difference is None else f"the report's evidence does not follow from its scores: {difference}"
