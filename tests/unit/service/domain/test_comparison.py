"""The first field that differs is named; nothing that differs is missed."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.comparison import first_difference

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=2)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
)


@given(values)
def test_a_value_does_not_differ_from_its_copy(value: Any) -> None:
    assert first_difference(value, copy.deepcopy(value)) is None


@given(values, values)
def test_values_differ_where_their_json_does(one: Any, other: Any) -> None:
    assert (first_difference(one, other) is None) == (_text(one) == _text(other))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True).replace("-0.0", "0.0")


@pytest.mark.parametrize(
    ("stated", "computed", "says"),
    [
        ({"a": [{"b": 1.0}]}, {"a": [{"b": 2.0}]}, "a[0].b is 1.0, not 2.0"),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, "the document has other fields: b, c"),
        ({"a": [1]}, {"a": []}, "a has 1 entries, not 0"),
        ({"a": True}, {"a": 1}, "a is True, not 1"),
        ({"a": None}, {"a": 0.0}, "a is None, not 0.0"),
        ({"a": 1.0}, {"a": 1}, "a is 1.0, not 1"),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}, "a is 1, not 2"),
    ],
)
def test_the_first_difference_is_named_with_both_values(stated: Any, computed: Any, says: str) -> None:
    assert first_difference(stated, computed) == says


@pytest.mark.parametrize(
    ("stated", "computed", "same"),
    [(0.0, 1e-9, True), (0.0, 2e-9, False), (1e6, 1e6 + 9e-4, True), (1e6, 1e6 + 2e-3, False), (1, 1 + 1e-12, False)],
)
def test_floats_may_differ_by_the_tolerance_and_integers_by_nothing(stated: float, computed: float, same: bool) -> None:
    assert (first_difference(stated, computed, tolerance=1e-9) is None) == same
