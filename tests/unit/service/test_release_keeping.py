"""Superseded weights go, and readers stay on the current release."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from service.adapters.memory import MemoryObjectStore
from service.domain.ledger import LedgerKind
from service.domain.release import card_key, pointer_key, weights_key
from service.domain.run import FailureKind
from service.domain.serving import ServingDecision
from service.domain.ticket import Ticket, TicketState
from service.errors import ObjectStoreUnavailableError, ResurrectsForgottenSamplesError
from service.ports import imported_weights_key
from service.publishing import point_to
from tests.attempts import accept, fails
from tests.faults import Faults, Kill
from tests.memory_manifests import TRAIN
from tests.records import LINEAGE, TENANT
from tests.world import ROLLBACK_WINDOW, WEIGHTS, World

ORIGINAL = weights_key(LINEAGE, 1)
BROUGHT = imported_weights_key(hashlib.sha256(WEIGHTS).hexdigest())


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def world() -> World:
    """Return a world in which release 2 has superseded release 1."""
    world = World(accept)
    world.register()
    publish(world, *TRAIN[:3])
    return world


def publish(world: World, *samples: str) -> Ticket:
    ticket = world.submit(*samples, request_id=" ".join(samples))
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    return ticket


def pass_the_window(world: World) -> None:
    world.clock.advance(ROLLBACK_WINDOW)
    world.round()


def kinds(world: World) -> list[LedgerKind]:
    return [entry.kind for entry in world.ledger()]


# Purge


def test_the_weights_of_a_superseded_release_stay_for_the_window_and_then_go(world: World) -> None:
    world.clock.advance(timedelta(minutes=2))
    world.round()
    (purge,) = world.store.purges(LINEAGE)
    assert (purge.number, purge.purge_at, purge.purged_at) == (
        1,
        world.releases()[1].created_at + ROLLBACK_WINDOW,
        None,
    )
    assert world.objects.head(ORIGINAL) is not None
    assert world.objects.head(BROUGHT) is not None

    pass_the_window(world)
    assert world.objects.head(ORIGINAL) is None
    assert world.objects.head(BROUGHT) is None, "the original was brought under its digest"
    assert world.store.purges(LINEAGE)[0].purged_at is not None


def test_what_is_published_and_what_was_measured_stay(world: World) -> None:
    publish(world, TRAIN[4])
    pass_the_window(world)

    assert world.objects.head(weights_key(LINEAGE, 2)) is None
    assert world.objects.head(card_key(LINEAGE, 2)) is not None
    assert world.objects.head(weights_key(LINEAGE, 3)) is not None
    assert [release.number for release in world.releases()] == [1, 2, 3]
    assert list(world.objects.keys("reports"))


def test_a_purge_is_in_the_ledger_when_it_is_planned_and_when_it_is_done(world: World) -> None:
    pass_the_window(world)
    entries = [entry for entry in world.ledger() if entry.kind in {LedgerKind.PURGE_SCHEDULED, LedgerKind.PURGED}]

    assert [(entry.kind, entry.payload["release"]) for entry in entries] == [
        (LedgerKind.PURGE_SCHEDULED, 1),
        (LedgerKind.PURGED, 1),
    ]


def test_what_was_promised_stays_whatever_the_settings_say_later(world: World) -> None:
    world.clock.advance(timedelta(minutes=2))
    world.round()
    promised = world.store.purges(LINEAGE)[0].purge_at
    world.service = world.process(rollback_window=timedelta(days=300))
    pass_the_window(world)

    assert world.store.purges(LINEAGE)[0].purge_at == promised
    assert world.objects.head(ORIGINAL) is None


def test_a_release_is_kept_while_a_failed_run_that_rests_on_it_waits_for_a_person() -> None:
    world = World(fails(FailureKind.INPUT), accept)
    world.register()
    waiting = world.submit(TRAIN[9], request_id="waiting")
    world.drive()
    assert world.ticket(waiting).state is TicketState.NEEDS_ATTENTION
    publish(world, TRAIN[0])
    pass_the_window(world)
    assert world.objects.head(ORIGINAL) is not None
    assert len(world.store.totals().purges_open) == 1, "and that it is overdue can be seen"

    world.service.intake.cancel_ticket(waiting.ticket_id, tenant=TENANT, actor="alice")
    world.clock.advance(timedelta(minutes=2))
    world.round()
    assert world.objects.head(ORIGINAL) is None


def test_purged_weights_may_not_serve_and_that_says_why(world: World) -> None:
    pass_the_window(world)
    _, answer = world.service.intake.check_lineage(LINEAGE, tenant=TENANT, number=1)

    assert answer.decision is ServingDecision.RESURRECTS_FORGOTTEN_SAMPLES
    assert "purged on" in answer.text


def test_purged_weights_that_are_brought_again_are_refused_and_go_again(world: World) -> None:
    pass_the_window(world)
    world.objects.create(BROUGHT, WEIGHTS)
    with pytest.raises(ResurrectsForgottenSamplesError):
        world.register(lineage="elsewhere")
    world.clock.advance(timedelta(minutes=2))
    world.round()

    assert world.objects.head(BROUGHT) is None
    assert kinds(world).count(LedgerKind.PURGED) == 1


@pytest.mark.parametrize("moment", range(1, 40))
def test_a_purge_that_is_killed_at_any_moment_is_finished_later_and_told_once(moment: int) -> None:
    world = World(accept)
    world.register()
    publish(world, TRAIN[0])
    world.clock.advance(ROLLBACK_WINDOW)
    faults = Faults(moment)
    dying = world.process(store=faults.guard(world.store), objects=faults.guard(world.objects))
    with suppress(Kill):
        dying.workflow.keeper.purge_superseded()
    world.service = world.process()
    world.round()

    assert world.objects.head(ORIGINAL) is None
    assert kinds(world).count(LedgerKind.PURGE_SCHEDULED) == 1
    assert kinds(world).count(LedgerKind.PURGED) == 1


def test_weights_that_cannot_be_deleted_now_are_deleted_later(world: World) -> None:
    away = Faults(1, lambda: ObjectStoreUnavailableError("away"), times=9)
    world.clock.advance(ROLLBACK_WINDOW)
    with pytest.raises(ObjectStoreUnavailableError):
        world.process(objects=away.guard(world.objects)).workflow.keeper.purge_superseded()
    assert world.store.purges(LINEAGE)[0].purged_at is None
    assert len(world.store.totals().purges_open) == 1
    world.round()

    assert world.objects.head(ORIGINAL) is None


# Pointer


def test_a_pointer_that_somebody_has_moved_back_is_restored_and_that_is_told(world: World) -> None:
    assert isinstance(world.objects, MemoryObjectStore)
    old, current = world.releases()
    world.objects.delete(pointer_key(LINEAGE))
    point_to(world.objects, old)
    world.clock.advance(timedelta(minutes=2))
    world.round()

    assert world.pointer()["release"] == current.number
    (entry,) = (entry for entry in world.ledger() if entry.kind is LedgerKind.POINTER_RESTORED)
    assert (entry.payload["found"], entry.payload["release"]) == (1, 2)
    assert entry.payload["resurrected"] == len(world.store.forgotten_rows(LINEAGE))


def test_a_pointer_is_not_moved_back_by_whoever_knows_an_older_release(world: World) -> None:
    point_to(world.objects, world.releases()[0])

    assert world.pointer()["release"] == 2


def test_pointers_where_they_should_be_are_no_event(world: World) -> None:
    for _ in range(3):
        world.clock.advance(timedelta(minutes=2))
        world.round()

    assert LedgerKind.POINTER_RESTORED not in kinds(world)
