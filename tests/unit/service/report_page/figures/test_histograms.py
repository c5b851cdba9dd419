"""The histograms show how far deleted and unseen samples overlap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.report.evidence import Group, Histogram, Role
from service.report_page.figures import histograms as histogram_figure
from tests.report_parts import REPORT, made, with_figures


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
