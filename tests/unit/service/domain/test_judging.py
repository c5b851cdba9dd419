"""A worker's report is believed only where it speaks of this attempt and its verdict follows from its numbers."""

from dataclasses import replace
from typing import Any

import pytest

from mcu_core.report import AuditReport, Role, Verdict
from service.domain.judging import judge_report
from service.domain.run import RunPhase, UnlearningRun
from tests.attempts import Audit, candidate_digest, no_trace, report_of, trace_left
from tests.records import SPEC, a_run, an_attempt, an_order_for, digest_of
from tests.results import POLICY

PLANNED: UnlearningRun = replace(
    a_run(),
    phase=RunPhase.AUDITING,
    epoch=2,
    attempts=(an_attempt(1),),
    report_digest=digest_of("report"),
)
ORDER = an_order_for(PLANNED)
REPORT = report_of(ORDER)


def run_of(report: AuditReport) -> UnlearningRun:
    """Return the run as it is when the outcome names this report's scores."""
    return replace(
        PLANNED,
        candidate_digest=candidate_digest(ORDER),
        plan_digest=ORDER.plan.digest,
        scores_digest=report.subjects.scores,
    )


RUN = run_of(REPORT)
NOT_ABOUT = "the report is not about this attempt"
DOES_NOT_FOLLOW = "the report's verdict does not follow from its evidence"


@pytest.mark.parametrize(("audit", "verdict"), [(no_trace, Verdict.ACCEPT_CANARY_BACKED), (trace_left, Verdict.REJECT)])
def test_an_honest_report_is_believed_whatever_it_says(audit: Audit, verdict: Verdict) -> None:
    report = report_of(ORDER, audit)

    assert report.judgement.verdict is verdict
    assert judge_report(report, run_of(report)) is None


def test_an_honest_report_is_believed_after_json() -> None:
    assert judge_report(AuditReport.model_validate_json(REPORT.to_bytes()), RUN) is None


SUBJECTS = {
    name: "other" if name in {"run_id", "lineage"} else digest_of("other")
    for name in type(REPORT.subjects).model_fields
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_report_of_another_subject_is_refused(subject: str) -> None:
    subjects = REPORT.subjects.model_copy(update={subject: SUBJECTS[subject]})

    problem = judge_report(REPORT.model_copy(update={"subjects": subjects}), RUN)
    assert problem is not None
    assert NOT_ABOUT in problem


WRONG: dict[str, dict[str, Any]] = {
    "attempt": {"attempt": 1},
    "rung": {"rung": 1},
    "rung kind": {"rung_kind": "retrain"},
    "seed": {"seed": 99},
    "policy version": {"policy_version": "mine"},
    "configuration": {"config": SPEC.config.model_copy(update={"evaluation_batch": 1})},
    "deletion": {"deletion": REPORT.deletion.model_copy(update={"root": digest_of("other")})},
    "plan": {"plan": REPORT.plan.model_copy(update={"seed": 99})},
    "earlier attempts": {"previous_attempts": ()},
    "earlier verdict": {"previous_attempts": (an_attempt(1, verdict=Verdict.VACUOUS),)},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_report_of_another_attempt_is_refused(change: dict[str, Any]) -> None:
    problem = judge_report(REPORT.model_copy(update=change), RUN)

    assert problem is not None
    assert NOT_ABOUT in problem


FACTS_WRONG: dict[str, dict[str, Any]] = {
    "another original": {"digests": {**REPORT.evidence.facts.digests, Role.ORIGINAL: digest_of("other")}},
    "another candidate": {"digests": {**REPORT.evidence.facts.digests, Role.CANDIDATE: digest_of("other")}},
    "no candidate": {"digests": {Role.ORIGINAL: SPEC.base_model_digest}},
    "another plan": {"plan": digest_of("other")},
    "another size": {"counts": REPORT.evidence.facts.counts.model_copy(update={"forget": SPEC.forget_count + 1})},
}


@pytest.mark.parametrize("change", FACTS_WRONG.values(), ids=FACTS_WRONG)
def test_evidence_of_something_else_is_refused(change: dict[str, Any]) -> None:
    facts = REPORT.evidence.facts.model_copy(update=change)
    evidence = REPORT.evidence.model_copy(update={"facts": facts})

    problem = judge_report(REPORT.model_copy(update={"evidence": evidence}), RUN)
    assert problem is not None
    assert NOT_ABOUT in problem


def test_a_flipped_verdict_is_refused() -> None:
    report = report_of(ORDER, trace_left)
    flipped = report.judgement.model_copy(update={"verdict": Verdict.ACCEPT_POWERED})

    assert judge_report(report.model_copy(update={"judgement": flipped}), run_of(report)) == DOES_NOT_FOLLOW


def test_the_judgement_of_other_evidence_is_refused() -> None:
    report = report_of(ORDER, trace_left).model_copy(update={"judgement": REPORT.judgement})

    assert judge_report(report, run_of(report)) == DOES_NOT_FOLLOW


@pytest.mark.parametrize("change", [{"alpha": POLICY.alpha}, {"margin": 0.2}, {"findings": ()}, {"limitations": ()}])
def test_a_judgement_by_other_thresholds_is_refused(change: dict[str, Any]) -> None:
    judgement = REPORT.judgement.model_copy(update=change)

    assert judge_report(REPORT.model_copy(update={"judgement": judgement}), RUN) == DOES_NOT_FOLLOW


def test_a_plan_that_ignores_earlier_attempts_is_refused() -> None:
    order = ORDER.model_copy(update={"plan": ORDER.plan.model_copy(update={"audits_before": 0})})
    run = replace(RUN, plan_digest=order.plan.digest)
    first = report_of(order)

    assert first.judgement.alpha == POLICY.alpha
    problem = judge_report(first, run)
    assert problem is not None
    assert "audits before" in problem


def test_a_run_without_a_candidate_believes_nothing() -> None:
    assert judge_report(REPORT, replace(RUN, candidate_digest=None)) is not None
