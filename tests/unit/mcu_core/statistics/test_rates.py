import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.statistics.rates import rate


@given(st.integers(0, 20), st.integers(1, 20), st.floats(0.6, 0.99))
def test_a_rate_lies_in_its_interval(successes: int, count: int, confidence: float) -> None:
    estimate = rate(min(successes, count), count, confidence=confidence)
    assert 0.0 <= estimate.low <= estimate.value <= estimate.high <= 1.0


def test_the_interval_of_a_rate_is_the_textbooks() -> None:
    estimate = rate(0, 10, confidence=0.95)
    assert (estimate.low, estimate.high) == pytest.approx((0.0, 1 - 0.025**0.1))
