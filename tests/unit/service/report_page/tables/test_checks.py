"""The tables of decisions hold every check, stage and model."""

import pytest

from mcu_core.report.document import AuditReport
from mcu_core.report.judgement import Stage, Verdict
from service.report_page.content import Tone
from service.report_page.tables import checks
from tests.judged_reports import REPORTS
from tests.report_parts import column_of

REPORT = REPORTS[Verdict.ACCEPT_POWERED]


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_check_has_its_row_and_outcome(report: AuditReport) -> None:
    table = checks.checks(report)
    findings = report.judgement.findings

    assert column_of(table, "check") == [finding.check for finding in findings]
    assert column_of(table, "outcome") == ["passed" if finding.passed else "failed" for finding in findings]


def test_a_stage_that_was_not_reached_is_not_called_passed() -> None:
    steps = dict(zip(Stage, checks.steps(REPORTS[Verdict.VACUOUS]), strict=True))

    assert steps[Stage.HARD].tone is Tone.GOOD
    assert steps[Stage.VALIDITY].tone is Tone.BAD
    assert steps[Stage.REJECT].answer == "not reached"
    assert steps[Stage.REJECT].tone is Tone.OPEN


def test_an_acceptance_that_is_not_carried_is_not_called_shown() -> None:
    accepted = dict(zip(Stage, checks.steps(REPORT), strict=True))
    open_case = dict(zip(Stage, checks.steps(REPORTS[Verdict.NEEDS_REVIEW]), strict=True))

    assert accepted[Stage.ACCEPT].answer == "yes"
    assert open_case[Stage.ACCEPT].answer == "no"


def test_each_model_has_its_metrics_with_intervals() -> None:
    table = checks.models(REPORT)
    row = REPORT.evidence.models[-1]

    assert len(table.rows) == len(REPORT.evidence.models)
    assert column_of(table, "model")[-1] == f"MCU_β (t = {row.t:.3f})"
    assert column_of(table, "RA")[-1].startswith(f"{100 * row.retain_accuracy.value:.1f}")
