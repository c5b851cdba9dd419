"""The tables hold the report's numbers, each under its column."""

import pytest

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Result, Role
from mcu_core.report.judgement import Stage, Verdict
from mcu_core.report.plan import Signal
from service.report_page.content import Table, Tone
from service.report_page.tables import checks, provenance, results
from tests.judged_reports import NOT_ESTIMABLE, REPORTS, SINGLE

REPORT, REJECTED = REPORTS[Verdict.ACCEPT_POWERED], REPORTS[Verdict.REJECT]


def column(table: Table, name: str) -> list[str]:
    position = table.columns.index(name)
    return [row[position].text for row in table.rows]


def test_each_primary_test_has_value_interval_counts_p_and_decision() -> None:
    auc = REJECTED.evidence.primary[0]
    row = dict(zip(results.primary(REJECTED).columns, results.primary(REJECTED).rows[0], strict=True))

    assert row["value"].text == f"{auc.value:.3f}"
    assert row["interval"].text == f"{auc.low:.3f} to {auc.high:.3f}"
    assert row["n / m"].text == "1\N{NARROW NO-BREAK SPACE}000 / 5\N{NARROW NO-BREAK SPACE}000"
    assert row["p"].text == "< 0.001"
    assert (row["decision"].text, row["decision"].tone) == ("failed", Tone.BAD)


def test_shares_of_samples_are_in_percent_and_areas_are_not() -> None:
    assert results.value("tail.upper", 0.08).startswith("8.00")
    assert results.value("tpr.0.01", 0.5).endswith("%")
    assert results.value("auc", 0.5) == "0.500"


@pytest.mark.parametrize("name", ["auc", "tail.upper", "tpr.0.001"])
def test_what_is_not_estimable_is_one_cell_with_the_reason_and_no_number(name: str) -> None:
    none = NOT_ESTIMABLE.model_copy(update={"name": name})
    (cell,) = results.measured(none)

    assert cell.span == 4
    assert cell.text == f"not estimable: {none.not_estimable}"
    assert results.not_estimable(REPORT)[-1] == NOT_ESTIMABLE


def test_an_end_that_is_missing_is_open() -> None:
    result = REPORT.evidence.primary[0]

    assert results.interval(result.model_copy(update={"low": None, "high": None})) == "\N{EN DASH}"
    assert results.interval(result.model_copy(update={"low": None, "high": 0.75})) == "\N{EN DASH} to 0.750"


def test_each_control_is_shown_with_its_own_outcome() -> None:
    table = results.controls(REPORTS[Verdict.VACUOUS])
    outcomes = [row[-1] for row in table.rows if len(row) == len(table.columns)]

    assert [cell.tone for cell in outcomes] == [Tone.BAD, Tone.GOOD, Tone.GOOD, Tone.GOOD]


def test_canaries_are_shown_where_there_were_some() -> None:
    table = results.canaries(REPORTS[Verdict.ACCEPT_CANARY_BACKED])

    assert table is not None
    assert len(table.rows) == 4
    assert results.canaries(REPORT) is None


def test_every_secondary_result_has_its_row() -> None:
    table = results.secondary(REPORT)

    assert len(table.rows) == len(REPORT.evidence.secondary)
    assert "not estimable" in table.rows[-1][3].text


def test_samples_forgotten_earlier_are_among_the_probes() -> None:
    before = Result(
        name="auc", role=Role.CANDIDATE, signal=Signal.PHI, value=0.51, forget_count=40, other_count=5_000, method="m"
    )
    evidence = REPORT.evidence.model_copy(update={"forgotten_before": before})
    table = results.probes(REPORT.model_copy(update={"evidence": evidence}))

    assert column(table, "result")[-1] == "Samples forgotten earlier"
    assert "Samples forgotten earlier" not in column(results.probes(REPORT), "result")


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_check_has_its_row_and_outcome(report: AuditReport) -> None:
    table = checks.checks(report)
    findings = report.judgement.findings

    assert column(table, "check") == [finding.check for finding in findings]
    assert column(table, "outcome") == ["passed" if finding.passed else "failed" for finding in findings]


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
    assert column(table, "model")[-1] == f"MCU_β (t = {row.t:.3f})"
    assert column(table, "RA")[-1].startswith(f"{100 * row.retain_accuracy.value:.1f}")


def test_the_provenance_names_every_subject_and_scored_model() -> None:
    shown = set(column(provenance.digests(REPORT), "value"))

    assert {str(value) for _, value in REPORT.subjects} <= shown
    assert set(REPORT.evidence.facts.digests.values()) <= shown
    assert REPORTS[Verdict.ACCEPT_CANARY_BACKED].plan.canaries is not None
    assert "c" * 64 in column(provenance.digests(SINGLE), "value")


def test_every_version_time_and_count_is_shown() -> None:
    facts = REPORT.evidence.facts
    computing, data = provenance.computing(REPORT), provenance.data(REPORT)

    assert set(facts.environment.versions.items()) <= set(
        zip(column(computing, "what"), column(computing, "value"), strict=True)
    )
    assert {f"phase: {phase.replace('_', ' ')}" for phase in facts.phase_seconds} <= set(column(computing, "what"))
    assert len(data.rows) >= len(facts.counts.model_dump())


def test_settings_are_those_of_this_attempts_rung() -> None:
    table = provenance.settings(REPORT)
    shown = dict(zip(column(table, "what"), column(table, "value"), strict=True))

    assert shown["rung.kind"] == REPORT.config.ladder[REPORT.rung].kind
    assert shown["audit.confidence"] == str(REPORT.config.audit.confidence)
    assert not [name for name in shown if name.startswith("ladder")]
