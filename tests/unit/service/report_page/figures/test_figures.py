"""Each figure draws and says what its data say."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.judging.equivalence import half_width, provable_margin
from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import ClassChange, Group, Histogram, Individuals, RelearningPoint, RocCurve, Role
from mcu_core.report.judgement import Verdict
from mcu_core.report.parts import PathwayReport
from service.report_page.content import Figure
from service.report_page.figures import histograms as histogram_figure
from service.report_page.figures import p_values as p_value_figure
from service.report_page.figures import roc as roc_figure
from service.report_page.figures.classes import MOST, classes
from service.report_page.figures.path import drawn, path
from service.report_page.figures.relearning import relearning
from service.report_page.figures.size import size
from tests.figures import PATHWAY
from tests.judged_reports import REPORTS, SINGLE

REPORT = REPORTS[Verdict.ACCEPT_POWERED]


def made(figure: Callable[[AuditReport], Figure | None], report: AuditReport = REPORT) -> Figure:
    found = figure(report)
    assert found is not None
    return found


def with_evidence(**parts: object) -> AuditReport:
    return REPORT.model_copy(update={"evidence": REPORT.evidence.model_copy(update=parts)})


def with_facts(**parts: object) -> AuditReport:
    return with_evidence(facts=REPORT.evidence.facts.model_copy(update=parts))


def with_figures(**parts: object) -> AuditReport:
    return with_evidence(figures=REPORT.evidence.figures.model_copy(update=parts))


# The alignment path


def test_the_path_shades_the_region_and_marks_the_chosen_point() -> None:
    figure = made(path)

    assert figure.drawing.count('class="region"') == len(PATHWAY.region)
    assert f"t = {PATHWAY.chosen_t:.3f}" in figure.message
    assert f"chosen: t = {PATHWAY.chosen_t:.3f}" in figure.drawing
    assert len(figure.table.rows) == len(PATHWAY.sweep)


def test_the_path_without_a_sweep_draws_what_was_evaluated() -> None:
    bare: PathwayReport = PATHWAY.model_copy(update={"sweep": ()})

    assert [point.t for point in drawn(bare)] == sorted(point.t for point in PATHWAY.evaluated)
    assert path(with_facts(pathway=bare)) is not None


def test_without_a_pathway_there_is_no_path() -> None:
    assert path(with_facts(pathway=None)) is None


# ROC


def curve(*points: tuple[float, float]) -> RocCurve:
    false, true = zip(*points, strict=True)
    return RocCurve(role=Role.CANDIDATE, false_positive_rate=false, true_positive_rate=true, low=true, high=true)


def test_the_roc_axes_begin_at_the_smallest_share_of_false_alarms() -> None:
    assert roc_figure.floor_of([curve((0.0, 0.0), (0.004, 0.1), (1.0, 1.0))]) == pytest.approx(1e-3)
    assert roc_figure.floor_of([curve((0.0, 0.0), (1.0, 1.0))]) == pytest.approx(1e-1)
    assert roc_figure.floor_of([curve((1e-9, 0.0), (1.0, 1.0))]) == roc_figure.LEAST_FLOOR


def test_the_origin_is_not_drawn_on_logarithmic_axes() -> None:
    assert [point[:2] for point in roc_figure.visible(curve((0.0, 0.0), (0.0, 0.2), (1.0, 1.0)))] == [
        (0.0, 0.2),
        (1.0, 1.0),
    ]


def test_each_roc_curve_has_a_line_a_band_and_a_legend() -> None:
    figure = made(roc_figure.roc)

    for role in (Role.ORIGINAL, Role.CANDIDATE):
        assert f'class="line {roc_figure.STYLES[role]}"' in figure.drawing
        assert f'class="band {roc_figure.STYLES[role]}"' in figure.drawing
        assert roc_figure.STYLES[role] in {key.style for key in figure.legend}


@pytest.mark.parametrize(("rate", "text"), [(1.0, "100"), (0.1, "10"), (0.01, "1"), (0.001, "0.1"), (1e-5, "0.001")])
def test_a_decade_is_labelled_in_percent(rate: float, text: str) -> None:
    assert roc_figure.rate_label(rate).startswith(f"{text}\N{NARROW NO-BREAK SPACE}")


def test_an_auc_that_is_not_estimable_is_spoken_of_with_its_reason() -> None:
    none = REPORT.evidence.primary[0].model_copy(update={"value": None, "not_estimable": "too few samples"})
    figure = made(roc_figure.roc, with_evidence(primary=(none, *REPORT.evidence.primary[1:])))

    assert "after it not estimable (too few samples)" in figure.message


# Histograms


def histogram(*counts: int) -> Histogram:
    return Histogram(
        role=Role.CANDIDATE, group=Group.FORGET, edges=tuple(map(float, range(len(counts) + 1))), counts=counts
    )


@given(
    st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(any),
    st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(any),
)
def test_the_overlap_is_symmetric_and_one_only_of_equal_shapes(one: list[int], other: list[int]) -> None:
    shared = histogram_figure.overlap(histogram(*one), histogram(*other))

    assert shared == pytest.approx(histogram_figure.overlap(histogram(*other), histogram(*one)))
    assert 0.0 <= shared <= 1.0 + 1e-12
    assert histogram_figure.overlap(histogram(*one), histogram(*(3 * count for count in one))) == pytest.approx(1.0)


def test_histograms_are_not_drawn_where_one_is_missing() -> None:
    assert histogram_figure.histograms(with_figures(histograms=REPORT.evidence.figures.histograms[:1])) is None


def test_histograms_show_both_groups_before_and_after() -> None:
    figure = made(histogram_figure.histograms)

    assert figure.drawing.count('class="silhouette forget"') == 2
    assert figure.drawing.count('class="line unseen"') == 2


# p-values


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=500))
def test_the_distribution_rises_from_zero_to_one(p_values: list[float]) -> None:
    corners = p_value_figure.cumulative(sorted(p_values))

    assert corners[0] == (0.0, 0.0)
    assert corners[-1] == (1.0, 1.0)
    assert corners == sorted(corners)
    assert len(corners) <= p_value_figure.MOST_STEPS + 2


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_the_share_up_to_a_p_value_is_counted(p_values: list[float], p: float) -> None:
    slow = sum(value <= p for value in p_values) / len(p_values)

    assert p_value_figure.share_up_to(sorted(p_values), p) == slow


def test_few_samples_each_have_a_mark() -> None:
    few = Individuals(p_high=(0.5, 0.2), p_low=(0.5, 0.8), p_two=(1.0, 0.4), smallest=0.8)

    assert made(p_value_figure.p_values, with_evidence(individuals=few)).drawing.count("<circle") == 2
    assert "<circle" not in made(p_value_figure.p_values).drawing


# Classes


def change(label: int, by: float, half: float | None = 0.01) -> ClassChange:
    low, high = (None, None) if half is None else (by - half, by + half)
    return ClassChange(label=label, change=by, low=low, high=high, count=100)


def test_a_class_whose_whole_interval_is_a_loss_is_named() -> None:
    figure = made(classes, with_evidence(classes=(change(0, 0.0), change(7, -0.05), change(8, -0.005))))

    assert "1 class loses more than chance explains: 7." in figure.message
    assert figure.drawing.count('class="dot lost"') == 1


def test_a_change_without_an_interval_is_drawn_open_and_without_a_bar() -> None:
    figure = made(classes, with_evidence(classes=(change(0, -0.3, half=None),)))

    assert 'class="dot plain open"' in figure.drawing
    assert "plain bar" not in figure.drawing
    assert "\N{EN DASH}" in {cell.text for cell in figure.table.rows[0]}


def test_of_many_classes_those_that_lose_most_are_drawn_and_all_are_in_the_table() -> None:
    many = tuple(change(label, label / 10_000) for label in range(MOST + 70))
    figure = made(classes, with_evidence(classes=many))

    assert figure.drawing.count("<circle") == MOST
    assert len(figure.table.rows) == len(many)
    assert f"Drawn are the {MOST} classes that lose most of {len(many)}." in figure.message


# Relearning


def test_relearning_says_where_it_begins_and_ends() -> None:
    points = (
        RelearningPoint(epochs=0.5, forget_accuracy=0.95, auc=0.71),
        RelearningPoint(epochs=0.0, forget_accuracy=0.9, auc=0.502),
    )
    message = made(relearning, with_facts(relearning=points)).message

    assert "After 0.5 epochs" in message
    assert "from 0.502 to 0.710; before deletion it was 0.750" in message


def test_what_was_not_probed_is_not_drawn() -> None:
    assert relearning(with_facts(relearning=())) is None


# Size


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
