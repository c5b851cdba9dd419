"""The clock that moves only when told."""

from datetime import UTC, datetime, timedelta

import pytest

from service.adapters.memory import FrozenClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock(NOON)
    assert clock.now() == clock.now() == NOON

    clock.advance(timedelta(hours=1))
    assert clock.now() == NOON + timedelta(hours=1)
    clock.set(NOON)
    assert clock.now() == NOON


def test_a_clock_needs_a_zone() -> None:
    with pytest.raises(RuntimeError, match="aware"):
        FrozenClock(NOON.replace(tzinfo=None))
