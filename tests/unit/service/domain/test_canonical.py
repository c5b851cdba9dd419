"""Canonical JSON: equal values, equal bytes."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.canonical import canonical_bytes, canonical_digest

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

LARGEST = 2**53 - 1
"""Whole floats beyond it read back as integers that canonical JSON refuses; the records hold none."""

text = st.text(st.characters(exclude_categories=["Cs"]))
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | st.floats(-LARGEST, LARGEST) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_what_is_written_reads_back_as_the_same_value(value: Json) -> None:
    assert json.loads(canonical_bytes(value)) == value


@given(values)
def test_writing_what_was_read_gives_the_same_bytes(value: Json) -> None:
    written = canonical_bytes(value)

    assert canonical_bytes(json.loads(written)) == written


@given(st.dictionaries(text, values, min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Json]) -> None:
    backwards = dict(reversed(value.items()))

    assert canonical_digest(backwards) == canonical_digest(value)


@given(values, values)
def test_different_values_have_different_digests(one: Json, other: Json) -> None:
    assert (canonical_digest(one) == canonical_digest(other)) == (canonical_bytes(one) == canonical_bytes(other))


def test_a_known_value_has_its_known_form() -> None:
    # RFC 8785, 3.2.2 and 3.2.3: shortest numbers, keys sorted by UTF-16 code units, no white space.
    value = {
        "peach": 1e30,
        "\u20ac": [4.50, 2e-3, 1e-27],
        "1": {"f": None, "F": True},
        "\ufb33": "\u000f\n",
        "\U0001f600": 6.0,
    }

    assert canonical_bytes(value).decode() == (
        '{"1":{"F":true,"f":null},"peach":1e+30,"\u20ac":[4.5,0.002,1e-27],"\U0001f600":6,"\ufb33":"\\u000f\\n"}'
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53, -(2**53), "\ud800", {1: 2}, object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical_bytes(value)
