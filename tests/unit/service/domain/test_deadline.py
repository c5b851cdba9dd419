"""Statutory periods: calendar months, and where now stands in them."""

import calendar
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.deadline import DUE_SOON_SHARE, Regime, SlaState, due_time, is_at_risk, percentile_95, sla_state

moments = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ((2026, 1, 15), (2026, 2, 15)),
        ((2026, 1, 31), (2026, 2, 28)),
        ((2028, 1, 31), (2028, 2, 29)),
        ((2100, 1, 29), (2100, 2, 28)),
        ((2026, 3, 31), (2026, 4, 30)),
        ((2026, 2, 28), (2026, 3, 28)),
        ((2026, 12, 31), (2027, 1, 31)),
    ],
)
def test_a_gdpr_month_ends_on_the_same_day_or_on_the_months_last(
    received: tuple[int, int, int], due: tuple[int, int, int]
) -> None:
    at = datetime(*received, 23, 59, 59, 999_999, tzinfo=UTC)

    assert due_time(at, Regime.GDPR) == datetime(*due, 23, 59, 59, 999_999, tzinfo=UTC)


@given(moments)
def test_a_gdpr_month_is_the_next_month_at_the_same_time_of_day(received: datetime) -> None:
    due = due_time(received, Regime.GDPR)
    last_day = calendar.monthrange(due.year, due.month)[1]

    assert (due.year * 12 + due.month) - (received.year * 12 + received.month) == 1
    assert due.day == min(received.day, last_day)
    assert due.timetz() == received.timetz()


@given(moments)
def test_ccpa_gives_45_days(received: datetime) -> None:
    assert due_time(received, Regime.CCPA) - received == timedelta(days=45)


@given(moments, moments, st.sampled_from(Regime))
def test_a_later_request_is_never_due_earlier(one: datetime, other: datetime, regime: Regime) -> None:
    first, second = sorted((one, other))

    assert due_time(first, regime) <= due_time(second, regime)


RECEIVED = datetime(2026, 6, 1, tzinfo=UTC)
DUE = datetime(2026, 7, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
DUE_SOON_FROM = DUE - DUE_SOON_SHARE * (DUE - RECEIVED)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (RECEIVED, SlaState.ON_TRACK),
        (DUE_SOON_FROM, SlaState.ON_TRACK),
        (DUE_SOON_FROM + TICK, SlaState.DUE_SOON),
        (DUE, SlaState.DUE_SOON),
        (DUE + TICK, SlaState.OVERDUE),
    ],
)
def test_an_open_ticket_stands_where_now_stands(now: datetime, state: SlaState) -> None:
    assert sla_state(RECEIVED, DUE, None, now) is state


@pytest.mark.parametrize(
    ("closed", "state"), [(RECEIVED, SlaState.MET), (DUE, SlaState.MET), (DUE + TICK, SlaState.MISSED)]
)
@pytest.mark.parametrize("now", [RECEIVED, DUE + timedelta(days=400)])
def test_a_closed_ticket_stands_where_it_was_closed_whatever_the_time(
    closed: datetime, state: SlaState, now: datetime
) -> None:
    assert sla_state(RECEIVED, DUE, closed, now) is state


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (DUE - timedelta(days=2), False),
        (DUE - timedelta(days=2) + TICK, True),
        (DUE, True),
        (DUE + TICK, False),
    ],
)
def test_a_ticket_is_at_risk_when_the_usual_time_does_not_fit_any_more(now: datetime, expected: bool) -> None:
    assert is_at_risk(DUE, now, timedelta(days=2)) is expected


@pytest.mark.parametrize(
    ("values", "expected"), [((), 0.0), ((7.0,), 7.0), (range(1, 21), 19), (range(1, 101), 95), (range(1, 22), 20)]
)
def test_the_percentile_is_the_nearest_rank(values: Sequence[float], expected: float) -> None:
    assert percentile_95(values) == expected
