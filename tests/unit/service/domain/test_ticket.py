"""The ticket's life: the table is all there is."""

from collections import deque
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from service.domain.ticket import (
    TERMINAL_STATES,
    TRANSITIONS,
    TicketEvent,
    TicketReason,
    TicketState,
    advance,
    can_happen,
)
from tests.records import NOW, a_ticket

PAIRS = list(product(TicketState, TicketEvent))
ALLOWED = [pair for pair in PAIRS if pair in TRANSITIONS]
REFUSED = [pair for pair in PAIRS if pair not in TRANSITIONS]
REASONS = (TicketReason(code="WHY", text="Because."),)


@pytest.mark.parametrize(("state", "event"), ALLOWED)
def test_an_allowed_event_leads_where_the_table_says(state: TicketState, event: TicketEvent) -> None:
    ticket = replace(a_ticket(), state=state)

    assert can_happen(ticket, event)
    assert advance(ticket, event, NOW).state is TRANSITIONS[state, event]


@pytest.mark.parametrize(("state", "event"), REFUSED)
def test_any_other_event_is_misuse(state: TicketState, event: TicketEvent) -> None:
    ticket = replace(a_ticket(), state=state)

    assert not can_happen(ticket, event)
    with pytest.raises(RuntimeError, match=f"tkt-0001: no {event.value} in state {state.value}"):
        advance(ticket, event, NOW)


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_a_terminal_state_is_final(state: TicketState) -> None:
    assert not [event for event in TicketEvent if (state, event) in TRANSITIONS]
    assert not replace(a_ticket(), state=state).is_open


@pytest.mark.parametrize("state", sorted(set(TicketState) - TERMINAL_STATES))
def test_from_every_open_state_success_can_be_reached(state: TicketState) -> None:
    assert TicketState.SUCCEEDED in _reachable(state)
    assert replace(a_ticket(), state=state).is_open


def test_every_state_is_reached_from_the_first() -> None:
    assert _reachable(a_ticket().state) == set(TicketState)


def test_every_event_happens_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(TicketEvent)


@pytest.mark.parametrize(("state", "event"), ALLOWED)
def test_a_ticket_is_closed_exactly_when_its_state_is_terminal(state: TicketState, event: TicketEvent) -> None:
    later = NOW + timedelta(days=1)
    moved = advance(replace(a_ticket(), state=state), event, later, reasons=REASONS)

    assert moved.closed_at == (later if moved.state in TERMINAL_STATES else None)
    assert moved.reasons == REASONS


def test_an_event_changes_nothing_but_state_reasons_and_end() -> None:
    before = replace(a_ticket(), state=TicketState.PROCESSING, run_id="run-1", version=7, reasons=REASONS)
    after = advance(before, TicketEvent.PUBLISH, NOW)

    assert after == replace(before, state=TicketState.PUBLISHED, reasons=())


def _reachable(start: TicketState) -> set[TicketState]:
    seen, queue = {start}, deque([start])
    while queue:
        state = queue.popleft()
        for (source, _), target in TRANSITIONS.items():
            if source is state and target not in seen:
                seen.add(target)
                queue.append(target)
    return seen
