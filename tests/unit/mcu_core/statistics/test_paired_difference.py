import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcu_core.statistics.paired_difference import paired_difference


def answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    counts = (both, only_first, only_second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_the_interval_is_that_of_the_paper() -> None:
    # Newcombe (1998), table II: 36 pairs both, 12 only the first, 2 only the second, none neither
    first, second = answers(36, 12, 2, 0)
    change = paired_difference(second, first, confidence=0.95)
    assert (change.value, change.low, change.high) == pytest.approx((0.20, 0.0569, 0.3404), abs=5e-5)


cells = st.tuples(*[st.integers(0, 30)] * 4).filter(any)


@given(cells, st.floats(0.6, 0.99))
def test_a_change_lies_in_its_interval_and_turns_round(cell: tuple[int, int, int, int], confidence: float) -> None:
    first, second = answers(*cell)
    change = paired_difference(first, second, confidence=confidence)
    back = paired_difference(second, first, confidence=confidence)
    assert -1.0 <= change.low <= change.value + 1e-12
    assert change.value - 1e-12 <= change.high <= 1.0
    assert change.value == pytest.approx(second.mean() - first.mean())
    assert (change.low, change.high) == pytest.approx((-back.high, -back.low))


@given(cells)
def test_the_order_of_the_images_does_not_matter(cell: tuple[int, int, int, int]) -> None:
    first, second = answers(*cell)
    order = np.random.default_rng(0).permutation(len(first))
    assert paired_difference(first[order], second[order], confidence=0.9) == paired_difference(
        first, second, confidence=0.9
    )
