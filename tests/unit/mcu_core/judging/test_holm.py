"""Holm's adjusted p-values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from mcu_core.judging.holm import adjusted_of, holm_adjusted
from tests.results import primary_tests

P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)


def test_a_known_family_is_adjusted_as_by_hand() -> None:
    assert holm_adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(P_VALUES)
def test_adjusted_p_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    assert holm_adjusted(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(P_VALUES, st.data())
def test_a_smaller_p_value_never_makes_any_adjusted_one_larger(p_values: list[float], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(p_values) - 1))
    smaller = [*p_values]
    smaller[index] = data.draw(st.floats(0.0, p_values[index]))

    assert all(after <= before for after, before in zip(holm_adjusted(smaller), holm_adjusted(p_values), strict=True))


@given(P_VALUES)
def test_adjusting_keeps_the_order_and_never_lowers(p_values: list[float]) -> None:
    adjusted = holm_adjusted(p_values)

    assert all(after >= before for after, before in zip(adjusted, p_values, strict=True))
    assert sorted(zip(p_values, adjusted, strict=True)) == sorted(zip(sorted(p_values), sorted(adjusted), strict=True))


def test_a_family_with_a_missing_p_value_has_no_adjusted_ones() -> None:
    first, *rest = primary_tests()

    assert adjusted_of((first.model_copy(update={"p_value": None}), *rest)) is None


def test_an_empty_family_has_no_adjusted_p_values() -> None:
    assert adjusted_of(()) is None
