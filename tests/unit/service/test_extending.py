"""Due times move by recorded extensions and by nothing else."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.extension import ExtensionRequest, Pause
from service.domain.ledger import LedgerKind
from service.domain.ticket import Ticket, TicketState
from service.errors import (
    RequestIdReusedError,
    ServiceError,
    StaleVersionError,
    TicketNotExtendableError,
    UnknownTicketError,
)
from tests.records import TENANT
from tests.world import ACTOR, World

DAY = timedelta(days=1)
ROUNDS = 25


@pytest.fixture
def world() -> World:
    world = World()
    world.register()
    return world


def request(ticket: Ticket, days: float = 5, request_id: str = "extend") -> ExtensionRequest:
    return ExtensionRequest(request_id=request_id, reason="why", due_at=ticket.due_at + days * DAY)


def extend(world: World, ticket: Ticket, wanted: ExtensionRequest, **more: int) -> Ticket:
    return world.service.intake.extend_ticket(ticket.ticket_id, wanted, tenant=TENANT, actor=ACTOR, **more)


def recorded(world: World, ticket: Ticket) -> datetime:
    """Return the due time as the ledger alone tells it."""
    due = ""
    for entry in world.ledger():
        if entry.subject == ticket.ticket_id and entry.kind in {
            LedgerKind.TICKET_SUBMITTED,
            LedgerKind.TICKET_EXTENDED,
        }:
            assert entry.payload.get("due_before", due) == due
            due = str(entry.payload["due_at"])
    return datetime.fromisoformat(due)


def test_an_extension_is_saved_with_its_ledger_entry(world: World) -> None:
    ticket = world.submit("train-00")
    wanted = request(ticket)
    extended = extend(world, ticket, wanted)

    assert extended.due_at == wanted.due_at
    (entry,) = [entry for entry in world.ledger() if entry.kind is LedgerKind.TICKET_EXTENDED]
    assert (entry.subject, entry.actor, entry.payload["reason"]) == (ticket.ticket_id, ACTOR, "why")
    assert extended.extensions[0].request == wanted


def test_the_same_extension_twice_is_one(world: World) -> None:
    ticket = world.submit("train-00")
    first = extend(world, ticket, request(ticket), expected_version=ticket.version)

    assert extend(world, ticket, request(ticket), expected_version=ticket.version) == first
    assert sum(entry.kind is LedgerKind.TICKET_EXTENDED for entry in world.ledger()) == 1


def test_a_request_id_with_another_due_time_is_refused(world: World) -> None:
    ticket = world.submit("train-00")
    extend(world, ticket, request(ticket))

    with pytest.raises(RequestIdReusedError):
        extend(world, ticket, request(ticket, days=6))


def test_an_extension_of_what_was_changed_is_refused_where_the_version_was_named(world: World) -> None:
    ticket = world.submit("train-00")
    world.service.workflow.schedule_tickets()

    with pytest.raises(StaleVersionError):
        extend(world, ticket, request(ticket), expected_version=ticket.version)


def test_a_closed_ticket_is_not_extended(world: World) -> None:
    ticket = world.submit("train-00")
    world.service.intake.cancel_ticket(ticket.ticket_id, tenant=TENANT, actor=ACTOR)

    with pytest.raises(TicketNotExtendableError):
        extend(world, ticket, request(ticket))


def test_a_ticket_of_another_tenant_is_unknown(world: World) -> None:
    ticket = world.submit("train-00")

    with pytest.raises(UnknownTicketError):
        world.service.intake.extend_ticket(ticket.ticket_id, request(ticket), tenant="other", actor=ACTOR)


def test_an_extended_ticket_succeeds_with_the_due_time_that_was_recorded(world: World) -> None:
    ticket = world.submit("train-00", "train-01", "train-02")
    extended = extend(world, ticket, request(ticket))
    world.drive()

    done = world.ticket(ticket)
    assert not done.is_open or done.state is TicketState.NEEDS_ATTENTION
    assert done.due_at == extended.due_at == recorded(world, ticket)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(-5, 80)),
        st.tuples(st.just("pause"), st.integers(-5, 30)),
        st.tuples(st.just("time"), st.integers(0, 20)),
        st.tuples(st.just("round"), st.just(0)),
        st.tuples(st.just("cancel"), st.just(0)),
    ),
    max_size=8,
)


@settings(max_examples=ROUNDS, deadline=None)
@given(steps)
def test_due_times_move_only_by_recorded_extensions(steps: list[tuple[str, int]]) -> None:
    world = World()
    world.register()
    ticket = world.submit("train-00", "train-01")
    for serial, (step, days) in enumerate(steps):
        before = world.ticket(ticket)
        try:
            _do(world, before, step, days, serial)
        except ServiceError:
            assert world.ticket(ticket).due_at == before.due_at
        after = world.ticket(ticket)
        assert after.due_at >= before.due_at
        assert (after.due_at != before.due_at) == (len(after.extensions) > len(before.extensions))
        assert after.due_at == recorded(world, ticket)


def _do(world: World, ticket: Ticket, step: str, days: int, serial: int) -> None:
    match step:
        case "extend":
            extend(world, ticket, request(ticket, days, f"r{serial}"))
        case "pause":
            now = world.clock.now()
            pause = Pause(start=now - days * DAY, end=now)
            extend(world, ticket, ExtensionRequest(request_id=f"r{serial}", reason="why", pause=pause))
        case "time":
            world.clock.advance(days * DAY)
        case "round":
            world.round()
        case _:
            world.service.intake.cancel_ticket(ticket.ticket_id, tenant=TENANT, actor=ACTOR)
