"""The size figure says what this many samples can show."""

from mcu_core.judging.equivalence import half_width, provable_margin
from service.report_page.figures.size import size
from tests.judged_reports import SINGLE
from tests.report_parts import REPORT, made


def test_the_size_figure_gives_this_runs_precision_at_the_level_of_this_attempt() -> None:
    auc, judgement = REPORT.evidence.primary[0], REPORT.judgement
    known = half_width(auc.forget_count, auc.other_count, confidence=0.95)
    provable = provable_margin(auc.forget_count, auc.other_count, alpha=judgement.alpha, power=0.9)
    figure = made(size)

    assert f"±{known:.3f}" in figure.message
    assert f"±{provable:.3f}" in figure.message
    assert any(row[0].text.endswith("(this run)") for row in figure.table.rows)


def test_of_one_sample_no_interval_is_spoken_of() -> None:
    figure = made(size, SINGLE)

    assert "too few for an interval" in figure.message
    assert "±" not in figure.message
    assert not any(row[0].text.endswith("(this run)") for row in figure.table.rows)
