"""A report is believed only where its evidence follows from the scores that were stored with it."""

import hashlib
from dataclasses import replace

import pytest

from mcu_core.report import AuditReport
from service.adapters.memory import MemoryObjectStore
from service.domain.run import RunPhase, UnlearningRun, attempt_prefix
from service.errors import DigestMismatchError
from service.examination import Examiner
from tests.attempts import candidate_digest, no_trace, report_of, scores_of, told_evidence, trace_left
from tests.records import a_run, an_attempt, an_order_for, digest_of

PLANNED: UnlearningRun = replace(
    a_run(), phase=RunPhase.AUDITING, epoch=2, attempts=(an_attempt(1),), report_digest=digest_of("report")
)
ORDER = an_order_for(PLANNED)
HONEST = report_of(ORDER, trace_left)


def examined(report: AuditReport, scores: bytes, *, stored: bytes | None = None) -> str | None:
    digest = hashlib.sha256(scores).hexdigest()
    run = replace(
        PLANNED, candidate_digest=candidate_digest(ORDER), plan_digest=ORDER.plan.digest, scores_digest=digest
    )
    objects = MemoryObjectStore()
    objects.create(f"{attempt_prefix(run.run_id, run.epoch)}/scores.parquet", scores if stored is None else stored)
    about = report.subjects.model_copy(update={"scores": digest})
    report = report.model_copy(update={"subjects": about})
    return Examiner(objects=objects, recompute=told_evidence).refusal(report, run)


def test_an_honest_report_is_believed() -> None:
    assert examined(HONEST, scores_of(HONEST.evidence)) is None


def test_a_verdict_on_other_evidence_than_the_scores_give_is_refused() -> None:
    """Evidence and verdict fit each other; both are of a candidate that forgot."""
    refused = examined(report_of(ORDER, no_trace), scores_of(HONEST.evidence))
    assert refused is not None
    assert refused.startswith("the report's evidence does not follow from its scores: evidence.primary[0]")


def test_what_another_processor_rounds_otherwise_is_believed() -> None:
    auc = HONEST.evidence.primary[0]
    assert auc.value is not None
    rounded = auc.model_copy(update={"value": auc.value + 1e-12})
    evidence = HONEST.evidence.model_copy(update={"primary": (rounded, *HONEST.evidence.primary[1:])})
    assert examined(HONEST, scores_of(evidence)) is None


def test_scores_from_which_nothing_can_be_computed_are_refused() -> None:
    assert examined(HONEST, b"no scores") == "nothing can be computed from the scores"


def test_another_report_than_the_runs_is_refused_before_its_scores_are_read() -> None:
    other = HONEST.model_copy(update={"attempt": 7})
    refused = examined(other, b"no scores")
    assert refused is not None
    assert "attempt" in refused


def test_scores_that_were_replaced_are_not_read() -> None:
    with pytest.raises(DigestMismatchError, match="scores"):
        examined(HONEST, scores_of(HONEST.evidence), stored=b"others")
