"""What the law allows of a due time, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain.deadline import Regime, due_time, latest_due_time
from service.domain.extension import Extension, ExtensionRequest, Pause, grant
from service.errors import ExtensionNotAllowedError, InvalidRequestError, ServiceError

RECEIVED = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


def granted(
    *,
    due: datetime | None = None,
    pause: Pause | None = None,
    regime: Regime = Regime.GDPR,
    earlier: tuple[Extension, ...] = (),
    now: datetime = RECEIVED + 10 * DAY,
) -> Extension:
    present = earlier[-1].due_at if earlier else due_time(RECEIVED, regime)
    request = ExtensionRequest(request_id=f"r{len(earlier)}", reason="why", due_at=due, pause=pause)
    return grant(request, received_at=RECEIVED, due_at=present, regime=regime, earlier=earlier, actor="alice", now=now)


def test_gdpr_allows_two_further_months_and_no_moment_more() -> None:
    latest = datetime(2027, 2, 28, 12, tzinfo=UTC)

    assert granted(due=latest).due_at == latest_due_time(RECEIVED, Regime.GDPR) == latest
    with pytest.raises(ExtensionNotAllowedError) as refused:
        granted(due=latest + TICK)
    assert refused.value.metadata == {"latest_due_time": latest.isoformat()}


def test_ccpa_allows_45_further_days_once() -> None:
    latest = RECEIVED + 90 * DAY
    first = granted(due=latest - DAY, regime=Regime.CCPA)

    with pytest.raises(ExtensionNotAllowedError):
        granted(due=latest + TICK, regime=Regime.CCPA)
    with pytest.raises(ExtensionNotAllowedError, match="once"):
        granted(due=latest, regime=Regime.CCPA, earlier=(first,))


@pytest.mark.parametrize("regime", Regime)
def test_an_extension_is_made_within_the_first_period(regime: Regime) -> None:
    end = due_time(RECEIVED, regime)

    assert granted(due=end + DAY, regime=regime, now=end).due_at == end + DAY
    with pytest.raises(ExtensionNotAllowedError, match="first period"):
        granted(due=end + DAY, regime=regime, now=end + TICK)


@pytest.mark.parametrize("days", [-1, 0])
def test_a_due_time_never_moves_back(days: int) -> None:
    with pytest.raises(InvalidRequestError):
        granted(due=due_time(RECEIVED, Regime.GDPR) + days * DAY)


def test_a_pause_moves_the_due_time_and_what_an_extension_may_reach_by_its_length() -> None:
    pause = granted(pause=Pause(start=RECEIVED + DAY, end=RECEIVED + 4 * DAY))
    assert pause.due_at == due_time(RECEIVED, Regime.GDPR) + 3 * DAY

    latest = latest_due_time(RECEIVED, Regime.GDPR) + 3 * DAY
    assert granted(due=latest, earlier=(pause,)).due_at == latest
    with pytest.raises(ExtensionNotAllowedError):
        granted(due=latest + TICK, earlier=(pause,))


def test_ccpa_knows_no_pause() -> None:
    with pytest.raises(ExtensionNotAllowedError):
        granted(pause=Pause(start=RECEIVED, end=RECEIVED + DAY), regime=Regime.CCPA)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (RECEIVED - TICK, RECEIVED + DAY),
        (RECEIVED + DAY, RECEIVED + DAY),
        (RECEIVED + 2 * DAY, RECEIVED + DAY),
        (RECEIVED, RECEIVED + 10 * DAY + TICK),
    ],
)
def test_a_pause_lies_between_receipt_and_now(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidRequestError):
        granted(pause=Pause(start=start, end=end))


def test_a_pause_begins_before_the_due_time() -> None:
    due = due_time(RECEIVED, Regime.GDPR)

    with pytest.raises(InvalidRequestError):
        granted(pause=Pause(start=due, end=due + DAY), now=due + 2 * DAY)


moments = st.integers(-3, 40).map(lambda hours: RECEIVED + timedelta(hours=6 * hours))


@given(st.lists(st.tuples(moments, moments), max_size=6))
def test_pauses_never_count_an_hour_twice(wanted: list[tuple[datetime, datetime]]) -> None:
    earlier: tuple[Extension, ...] = ()
    hours: set[int] = set()
    for start, end in wanted:
        try:
            earlier += (granted(pause=Pause(start=start, end=end), earlier=earlier),)
        except ServiceError:
            continue
        new = {int((start - RECEIVED).total_seconds() // 3600) + hour for hour in range(int((end - start) / DAY * 24))}
        assert hours.isdisjoint(new)
        hours |= new
    assume(earlier)

    assert earlier[-1].due_at == due_time(RECEIVED, Regime.GDPR) + timedelta(hours=len(hours))
