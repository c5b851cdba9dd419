"""The process is killed at every moment of a story in which a hold comes before publishing and ends later."""

from collections.abc import Iterator

import pytest
import structlog.testing

from service.domain.ledger import LedgerKind
from service.domain.run import RunPhase, WorkOrder
from service.domain.ticket import Ticket, TicketState
from service.ports import ObjectStore
from tests.attempts import accept
from tests.faults import Faults, Kill
from tests.memory_manifests import ROWS, row_of
from tests.records import LINEAGE, TENANT
from tests.world import World

FORGET = ("train-03", "train-11")
HELD = "train-03"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def story_world() -> World:
    """Return a world in which a hold is placed while the first job runs."""
    world = World()

    def held_meanwhile(order: WorkOrder, objects: ObjectStore) -> int:
        world.hold(HELD)
        return accept(order, objects)

    world.attempts = (held_meanwhile, accept)
    return world


def live(world: World, faults: Faults) -> Ticket:
    """Do what people do, and let the service go on until the ticket waits; then end the hold and go on."""
    service = world.process(
        store=faults.guard(world.store), objects=faults.guard(world.objects), runner=faults.guard(world.runner)
    )
    world.register(service)
    ticket = world.submit(*FORGET, service=service)
    world.drive(lambda: service)
    for hold in list(world.store.active_holds(LINEAGE)):
        assert row_of(HELD) not in world.store.forgotten_rows(LINEAGE)
        service.intake.release_hold(hold.hold_id, request_id="end", reason="Case closed", tenant=TENANT, actor="alice")
    world.drive(lambda: service)
    return ticket


def test_killed_after_any_call_a_hold_is_kept_and_its_ticket_ends_well() -> None:
    moment = 0
    while True:
        moment += 2  # just before a call the world is as just after the one before it
        world = story_world()
        was_killed = False
        try:
            live(world, Faults(moment))
        except Kill:
            was_killed = True
            world.wait_for_jobs()
        ticket = live(world, Faults(0))
        require_told_once(world, ticket)
        if not was_killed:
            break
    assert moment > 100, "the story has become so short that it tests nothing"


def require_told_once(world: World, ticket: Ticket) -> None:
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    forgotten = {row: number for row, number in world.store.forgotten_rows(LINEAGE).items() if row < len(ROWS)}
    assert forgotten == {row_of("train-11"): 2, row_of(HELD): 3}
    entries = world.ledger()
    kinds = [entry.kind for entry in entries]
    assert (kinds.count(LedgerKind.HOLD_PLACED), kinds.count(LedgerKind.HOLD_RELEASED)) == (1, 1)
    assert kinds.count(LedgerKind.RELEASED) == 2
    runs = [world.store.run(entry.subject) for entry in entries if entry.kind is LedgerKind.RUN_CREATED]
    assert [run.phase for run in runs if run] == [RunPhase.ABANDONED, RunPhase.COMMITTED, RunPhase.COMMITTED]
    assert set(world.executions().values()) == {1}, "an attempt was executed twice"
    assert len(world.releases()) == 3
