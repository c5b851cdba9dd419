"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.report_page import numbers


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0, "0.0"), (0.1234, "12.3"), (-0.00001, "0.0"), (-0.1234, "\N{MINUS SIGN}12.3")],
)
def test_a_rate_is_shown_in_percent(fraction: float, text: str) -> None:
    assert numbers.percent(fraction) == f"{text}\N{NARROW NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0204, "0.020"), (1.0, "1.000")],
)
def test_a_p_value_is_no_finer_than_it_is_known(p_value: float, text: str) -> None:
    assert numbers.probability(p_value) == text


def test_a_p_value_in_a_sentence_has_one_sign() -> None:
    assert numbers.p_phrase(0.0001) == "p < 0.001"
    assert numbers.p_phrase(0.5) == "p = 0.500"


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.004, "+0.4"), (-0.004, "\N{MINUS SIGN}0.4"), (0.0001, "0.0"), (-0.0001, "0.0")]
)
def test_a_change_has_its_sign_unless_it_is_none(fraction: float, text: str) -> None:
    assert numbers.points(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (119.9, "119.9 s"), (120.0, "2.0 min"), (7200.0, "2.0 h")]
)
def test_a_time_span_is_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_a_moment_is_in_utc() -> None:
    assert numbers.moment(1_780_000_000_999_999) == "2026-05-28 20:26:40 UTC"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "0.05"), (-0.026681, "\N{MINUS SIGN}0.0267"), (120000.0, "120\N{NARROW NO-BREAK SPACE}000")],
)
def test_a_number_of_unknown_magnitude_has_no_exponent_where_it_is_large(value: float, text: str) -> None:
    assert numbers.significant(value) == text


@given(st.floats(-1e6, 1e6))
def test_a_minus_is_never_a_hyphen_nor_before_a_zero(value: float) -> None:
    for shown in (numbers.decimal(value), numbers.percent(value), numbers.points(value), numbers.significant(value)):
        assert "-" not in shown.replace("e-", "")
        assert not shown.startswith("\N{MINUS SIGN}0.000")


def test_a_noun_agrees_with_its_number() -> None:
    assert numbers.counted(1, "sample") == "1 sample"
    assert numbers.counted(2, "class", "classes") == "2 classes"
