"""A worker's report is believed only where it speaks of this attempt and its verdict follows from its numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mcu_core.report import AuditReport, Measurements, Verdict
from service.domain.judging import judge_report
from service.domain.run import RunPhase, UnlearningRun, WorkOrder
from tests.measurements import POLICY, candidate_row, measurements, original_row, report_of
from tests.records import SPEC, a_run, an_attempt, digest_of

CANDIDATE = digest_of("candidate")
RUN: UnlearningRun = replace(
    a_run(),
    phase=RunPhase.AUDITING,
    epoch=2,
    rung_index=0,
    attempts=(an_attempt(1),),
    candidate_digest=CANDIDATE,
    report_digest=digest_of("report"),
)
ORDER = WorkOrder(
    run_id=RUN.run_id,
    spec=RUN.spec,
    epoch=RUN.epoch,
    rung_index=RUN.rung_index,
    audits_before=len(RUN.attempts),
    pathway_epoch=None,
    previous_attempts=RUN.attempts,
    split_key=digest_of("split key"),
)
ACCEPTED = measurements(original_row(SPEC.base_model_digest), candidate_row(CANDIDATE))
REJECTED = measurements(original_row(SPEC.base_model_digest), candidate_row(CANDIDATE, auc=0.8, auc_p=1e-6))
REPORT = report_of(ORDER, ACCEPTED)


@pytest.mark.parametrize(("measured", "verdict"), [(ACCEPTED, Verdict.ACCEPT), (REJECTED, Verdict.REJECT)])
def test_an_honest_report_is_believed_whatever_it_says(measured: Measurements, verdict: Verdict) -> None:
    report = report_of(ORDER, measured)

    assert report.judgement.verdict is verdict
    assert judge_report(report, RUN) is None


def test_an_honest_report_is_believed_after_json() -> None:
    assert judge_report(AuditReport.model_validate_json(REPORT.model_dump_json()), RUN) is None


SUBJECTS = {
    name: "other" if name in {"run_id", "lineage"} else digest_of("other")
    for name in type(REPORT.subjects).model_fields
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_report_of_another_subject_is_refused(subject: str) -> None:
    subjects = REPORT.subjects.model_copy(update={subject: SUBJECTS[subject]})

    problem = judge_report(REPORT.model_copy(update={"subjects": subjects}), RUN)
    assert problem is not None
    assert "not about this attempt" in problem


WRONG: dict[str, dict[str, Any]] = {
    "attempt": {"attempt": 1},
    "rung": {"rung": 1},
    "rung kind": {"rung_kind": "retrain"},
    "seed": {"seed": 99},
    "configuration": {"config": SPEC.config.model_copy(update={"evaluation_batch": 1})},
    "earlier attempts": {"previous_attempts": ()},
    "earlier verdict": {"previous_attempts": (an_attempt(1, verdict=Verdict.VACUOUS),)},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_report_of_another_attempt_is_refused(change: dict[str, Any]) -> None:
    problem = judge_report(REPORT.model_copy(update=change), RUN)

    assert problem is not None
    assert "not about this attempt" in problem


MEASURED_WRONG: dict[str, Callable[[], Measurements]] = {
    "another original": lambda: measurements(original_row(digest_of("other")), candidate_row(CANDIDATE)),
    "another candidate": lambda: measurements(original_row(SPEC.base_model_digest), candidate_row(digest_of("other"))),
    "candidate alone": lambda: measurements(candidate_row(CANDIDATE)),
    "swapped": lambda: measurements(candidate_row(CANDIDATE), original_row(SPEC.base_model_digest)),
    "another size": lambda: measurements(
        original_row(SPEC.base_model_digest), candidate_row(CANDIDATE), forget=SPEC.forget_count + 1
    ),
}


@pytest.mark.parametrize("measured", MEASURED_WRONG.values(), ids=MEASURED_WRONG)
def test_measurements_of_something_else_are_refused(measured: Callable[[], Measurements]) -> None:
    problem = judge_report(REPORT.model_copy(update={"measurements": measured()}), RUN)

    assert problem is not None
    assert "not about this attempt" in problem


def test_a_flipped_verdict_is_refused() -> None:
    report = report_of(ORDER, REJECTED)
    flipped = report.judgement.model_copy(update={"verdict": Verdict.ACCEPT})

    problem = judge_report(report.model_copy(update={"judgement": flipped}), RUN)
    assert problem == "the report's verdict does not follow from its measurements"


def test_the_judgement_of_other_measurements_is_refused() -> None:
    report = report_of(ORDER, REJECTED).model_copy(update={"judgement": REPORT.judgement})

    assert judge_report(report, RUN) == "the report's verdict does not follow from its measurements"


@pytest.mark.parametrize("change", [{"alpha": 0.05}, {"auc_margin": 0.2}, {"tests": ()}])
def test_a_judgement_by_other_thresholds_is_refused(change: dict[str, Any]) -> None:
    judgement = REPORT.judgement.model_copy(update=change)

    problem = judge_report(REPORT.model_copy(update={"judgement": judgement}), RUN)
    assert problem == "the report's verdict does not follow from its measurements"


def test_a_level_that_ignores_earlier_attempts_is_refused() -> None:
    first = report_of(ORDER.model_copy(update={"audits_before": 0}), ACCEPTED)

    assert first.judgement.alpha == POLICY.alpha
    assert judge_report(first, RUN) == "the report's verdict does not follow from its measurements"


def test_a_run_without_a_candidate_believes_nothing() -> None:
    assert judge_report(REPORT, replace(RUN, candidate_digest=None)) is not None
