"""Marks stand where their values are, and nowhere outside the plot."""

import math
from itertools import pairwise
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.report_page import drawing

finite = st.floats(-1e9, 1e9)
PLOT = drawing.frame((0.0, 1.0), (0.0, 1.0))
LOGARITHMIC = drawing.frame((1e-3, 1.0), (1e-3, 1.0), log_x=True, log_y=True)


@given(finite, finite)
def test_every_value_is_drawn_inside_the_plot(x: float, y: float) -> None:
    for plot in (PLOT, LOGARITHMIC):
        assert drawing.LEFT <= plot.x.at(x) <= drawing.WIDTH - drawing.RIGHT
        assert drawing.TOP <= plot.y.at(y) <= drawing.HEIGHT - drawing.BOTTOM


@given(finite, finite)
def test_larger_is_further_right_and_higher(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for plot in (PLOT, LOGARITHMIC):
        assert plot.x.at(low) <= plot.x.at(high)
        assert plot.y.at(low) >= plot.y.at(high)


def test_decades_are_evenly_spaced_on_a_logarithmic_axis() -> None:
    places = [LOGARITHMIC.x.at(rate) for rate in (1e-3, 1e-2, 1e-1, 1.0)]

    assert places[0] == drawing.LEFT
    assert places[-1] == drawing.WIDTH - drawing.RIGHT
    assert {round(after - before) for before, after in pairwise(places)} == {119}


def test_a_step_keeps_its_height_until_the_next_point() -> None:
    mark = drawing.steps(PLOT, [(0.0, 0.0), (0.5, 1.0), (1.0, 1.0)], "style")

    assert mark.get("points") == PLOT.at([(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (1.0, 1.0), (1.0, 1.0)])


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_are_few_even_and_inside(low: float, width: float, most: int) -> None:
    high = low + width
    if high - low < abs(low) * 1e-6:  # steps below what a float can tell
        return
    ticks = drawing.round_ticks(low, high, most)
    tolerance = width * 1e-6 + abs(low) * 1e-9

    assert len(ticks) <= most + 1
    assert all(low - tolerance <= tick <= high + tolerance for tick in ticks)


def test_ticks_are_round() -> None:
    assert drawing.round_ticks(0.0, 1.0, 5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert drawing.round_ticks(0.85, 1.0, 6) == pytest.approx([0.85, 0.9, 0.95, 1.0])


def test_decades_are_powers_of_ten() -> None:
    assert drawing.decades(1e-3, 1.0) == pytest.approx([1e-3, 1e-2, 1e-1, 1.0])
    assert all(math.log10(value).is_integer() for value in drawing.decades(1.0, 1e5))


@given(st.lists(st.integers(), min_size=1, max_size=400), st.integers(2, 50))
def test_thinning_keeps_both_ends_and_the_order(items: list[int], most: int) -> None:
    kept = drawing.thinned(list(enumerate(items)), most)

    assert len(kept) == min(most, len(items))
    assert kept == sorted(set(kept))
    assert kept[0][0] == 0
    assert kept[-1][0] == len(items) - 1


def test_a_drawing_is_named_and_described_and_its_words_are_escaped() -> None:
    root = fromstring(str(drawing.drawing("key", "a < b", 'says "so"', [drawing.text(1, 2, "<script>")])))

    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "key-title key-desc"
    assert [child.text for child in root] == ["a < b", 'says "so"', "<script>"]
