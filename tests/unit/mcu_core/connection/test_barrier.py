import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.connection.barrier import deviation

numbers = st.floats(-10.0, 10.0)


def grid(count: int) -> list[float]:
    return [index / (count - 1) for index in range(count)]


@given(st.integers(2, 30), numbers, numbers)
def test_values_on_the_line_of_the_ends_have_no_barrier(count: int, first: float, second: float) -> None:
    found = deviation(grid(count), [first + t * (second - first) for t in grid(count)])
    assert max(found.rise, found.dip, found.fluctuation) < 1e-13


def test_the_barrier_of_a_known_curve() -> None:
    # 4 t (1 - t) above a line: 1 at the middle; its mean square over the inner points is (.5625 + 1 + .5625) / 3.
    found = deviation(grid(5), [2.0 - t + 4.0 * t * (1.0 - t) for t in grid(5)])
    assert found.rise == pytest.approx(1.0)
    assert (found.rise_at, found.dip) == (0.5, 0.0)
    assert found.fluctuation == pytest.approx(math.sqrt(2.125 / 3))


@pytest.mark.parametrize("count", [3, 5, 21])
def test_the_fluctuation_does_not_depend_on_the_number_of_points(count: int) -> None:
    values = [0.0, *[0.25] * (count - 2), 0.0]
    assert deviation(grid(count), values).fluctuation == pytest.approx(0.25)


@given(st.lists(numbers, min_size=2, max_size=20))
def test_rise_and_dip_change_places_when_the_sign_does(values: list[float]) -> None:
    there = deviation(grid(len(values)), values)
    back = deviation(grid(len(values)), [-value for value in values])
    assert (there.rise, there.dip) == pytest.approx((back.dip, back.rise), abs=1e-12)
    assert there.fluctuation == pytest.approx(back.fluctuation, abs=1e-12)


@given(st.lists(numbers, min_size=2, max_size=20))
def test_the_fluctuation_is_no_more_than_the_farthest_distance(values: list[float]) -> None:
    found = deviation(grid(len(values)), values)
    assert 0.0 <= found.fluctuation <= max(found.rise, found.dip) + 1e-12


@pytest.mark.parametrize("positions", [[0.0, 0.5], [0.1, 1.0], [0.0, 0.5, 1.0]])
def test_positions_that_do_not_span_the_path_are_refused(positions: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        deviation(positions, [1.0, 2.0])
