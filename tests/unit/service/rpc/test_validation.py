"""Checks on single fields."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidRequestError
from service.rpc.validation import (
    MAX_INLINE_IDS,
    MAX_NAMED_VIOLATIONS,
    check_fraction,
    check_ids,
    check_lineage,
    check_request_id,
    check_sha256,
    refuse_if_any,
)


@pytest.mark.parametrize("name", ["a", "0", "fashion-classifier", "a.b_c-d", "a" * 63])
def test_a_lineage_may_be_called_so(name: str) -> None:
    assert not list(check_lineage(name))


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "a/b", "a b", "a" * 64, "a\n", "ä", "../x"])
def test_a_lineage_may_not_be_called_so(name: str) -> None:
    assert [violation.field for violation in check_lineage(name)] == ["lineage"]


@pytest.mark.parametrize(("value", "wrong"), [("a" * 64, 0), ("A" * 64, 1), ("a" * 63, 1), ("a" * 64 + "\n", 1)])
def test_a_digest_is_64_hexadecimal_digits(value: str, wrong: int) -> None:
    assert len(list(check_sha256("f", value))) == wrong


@pytest.mark.parametrize(("value", "wrong"), [("x", 0), ("x" * 128, 0), ("", 1), ("x" * 129, 1), ("a\tb", 1)])
def test_a_request_id_is_short_and_printable(value: str, wrong: int) -> None:
    assert len(list(check_request_id(value))) == wrong


@pytest.mark.parametrize(
    ("value", "wrong"), [(0.0, 0), (1.0, 0), (-1e-9, 1), (1.0 + 1e-9, 1), (math.nan, 1), (math.inf, 1)]
)
def test_a_rate_is_a_fraction(value: float, wrong: int) -> None:
    assert len(list(check_fraction("f", value))) == wrong


def test_as_many_ids_as_allowed_pass() -> None:
    assert not list(check_ids("ids", ["x"] * MAX_INLINE_IDS))
    assert len(list(check_ids("ids", ["x"] * (MAX_INLINE_IDS + 1)))) == 1


@given(values=st.lists(st.text(max_size=300), max_size=20))
def test_a_description_never_repeats_an_id(values: list[str]) -> None:
    for violation in check_ids("ids", values):
        value = values[int(violation.field.removeprefix("ids[").removesuffix("]"))]
        assert len(value) not in range(1, 257) or "\0" in value
        assert violation.description == "must be 1 to 256 characters without NUL"


def test_a_refusal_names_the_first_violations_only() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        refuse_if_any(check_ids("ids", [""] * 100))

    assert len(raised.value.violations) == MAX_NAMED_VIOLATIONS


def test_nothing_wrong_is_no_refusal() -> None:
    refuse_if_any((), iter(()))
