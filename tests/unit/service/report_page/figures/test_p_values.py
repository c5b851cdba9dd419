"""The distribution of p-values is drawn as it was counted."""

from hypothesis import given
from hypothesis import strategies as st

from mcu_core.report.evidence import Individuals
from service.report_page.figures import p_values as p_value_figure
from tests.report_parts import made, with_evidence


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
