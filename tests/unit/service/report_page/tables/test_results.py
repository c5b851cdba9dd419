"""The tables hold the results of the report, each under its column."""

import pytest

from mcu_core.report.evidence import Result, Role
from mcu_core.report.judgement import Verdict
from mcu_core.report.plan import Signal
from service.report_page.content import Tone
from service.report_page.tables import results
from tests.judged_reports import NOT_ESTIMABLE, REPORTS
from tests.report_parts import column_of

REPORT, REJECTED = REPORTS[Verdict.ACCEPT_POWERED], REPORTS[Verdict.REJECT]


def test_each_primary_test_has_value_interval_counts_p_and_decision() -> None:
    auc = REJECTED.evidence.primary[0]
    row = dict(zip(results.primary(REJECTED).columns, results.primary(REJECTED).rows[0], strict=True))

    assert row["value"].text == f"{auc.value:.3f}"
    assert row["interval"].text == f"{auc.low:.3f} to {auc.high:.3f}"
    assert row["n / m"].text == "1\N{NARROW NO-BREAK SPACE}000 / 5\N{NARROW NO-BREAK SPACE}000"
    assert row["p"].text == "< 0.001"
    assert (row["decision"].text, row["decision"].tone) == ("failed", Tone.BAD)


def test_the_aucs_row_says_how_likely_the_old_models_effect_was_to_be_seen() -> None:
    auc = next(finding for finding in REPORT.judgement.findings if finding.check == "primary.auc")
    shown = column_of(results.primary(REPORT), "power")

    assert auc.power is not None
    assert auc.power > 0.99
    assert shown[0] == "> 99\N{NARROW NO-BREAK SPACE}%"
    assert shown[1:] == ["\N{EN DASH}"] * 2


@pytest.mark.parametrize(("chance", "shown"), [(0.934, "93"), (0.004, "0"), (0.9901, "> 99"), (1.0, "> 99")])
def test_power_is_a_whole_percentage_and_never_certain(chance: float, shown: str) -> None:
    finding = REPORT.judgement.findings[0].model_copy(update={"power": chance})

    assert results.power(finding) == f"{shown}\N{NARROW NO-BREAK SPACE}%"


def test_the_note_on_canaries_says_how_likely_they_were_to_be_seen() -> None:
    table = results.canaries(REPORTS[Verdict.ACCEPT_CANARY_BACKED])

    assert table is not None
    assert table.note.startswith("Chance to see canaries that are remembered as in the old model: ")


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

    assert column_of(table, "result")[-1] == "Samples forgotten earlier"
    assert "Samples forgotten earlier" not in column_of(results.probes(REPORT), "result")
