"""Holds as values: how they end, and what several come to."""

from dataclasses import replace

import pytest

from service.domain.hold import NO_HELD_ROWS, HeldRows, HoldState, HoldTreatment, held_rows, release
from service.domain.ticket import TicketEvent, TicketState, on_hold
from tests.records import NOW, a_hold, a_ticket, an_end

RETAIN = replace(a_hold(2), treatment=HoldTreatment.RETAIN)


def test_a_hold_is_active_until_it_is_released() -> None:
    hold = a_hold()
    released = release(hold, an_end())

    assert (hold.state, released.state) == (HoldState.ACTIVE, HoldState.RELEASED)
    assert released == replace(hold, release=an_end())


def test_a_hold_is_released_once() -> None:
    with pytest.raises(RuntimeError, match="hld-0001 was released before"):
        release(release(a_hold(), an_end()), an_end())


def test_a_row_that_two_holds_treat_differently_is_restricted() -> None:
    held = held_rows([(RETAIN, [2, 3]), (a_hold(1), [1, 2])])

    assert held == HeldRows(hold_ids=("hld-0001", "hld-0002"), restricted=frozenset({1, 2}), retained=frozenset({3}))
    assert held.rows == {1, 2, 3}


def test_no_holds_hold_nothing() -> None:
    assert held_rows([]) == NO_HELD_ROWS
    assert not NO_HELD_ROWS.touches({1, 2})
    assert not NO_HELD_ROWS.reaches_beyond(set())


@pytest.mark.parametrize(("hold", "is_beyond"), [(a_hold(), True), (RETAIN, False)])
def test_no_held_row_may_be_forgotten_and_only_restricted_ones_must_be_left_out(hold: object, is_beyond: bool) -> None:
    held = held_rows([(hold, [1, 2])])  # type: ignore[list-item]  # the parameters are holds

    assert held.touches({2, 3})
    assert not held.touches({3})
    assert held.reaches_beyond({1, 3}) is is_beyond
    assert not held.reaches_beyond({1, 2, 3})


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (TicketState.ACCEPTED, TicketEvent.HOLD),
        (TicketState.SCHEDULED, TicketEvent.HOLD),
        (TicketState.PROCESSING, TicketEvent.PUBLISH_PART),
    ],
)
def test_a_ticket_on_hold_says_how_much_of_it_is_held_and_keeps_its_due_time(
    state: TicketState, event: TicketEvent
) -> None:
    ticket = replace(a_ticket(), state=state)
    waiting = on_hold(ticket, event, held=1, forgotten=2, now=NOW)

    assert (waiting.state, waiting.forgotten_count, waiting.closed_at) == (TicketState.ON_HOLD, 2, None)
    assert waiting.due_at == ticket.due_at
    (reason,) = waiting.reasons
    assert reason.code == "HOLD_ACTIVE"
    assert "1 of its 3 samples are under a hold, 2 are forgotten" in reason.text
