"""The process is killed at every moment of a whole story, one after the other, and started again each time.

A moment is the time just before or just after a call of the store, the object store or the job runner: only there does
the world outside the process change.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_core.report import Verdict
from service.adapters.directory_objects import DirectoryObjectStore
from service.adapters.sql_store import connect_store
from service.domain.canary import batch_of
from service.domain.ledger import LedgerKind
from service.domain.release import report_key, weights_key
from service.domain.run import FailureKind, RunPhase
from service.domain.ticket import TRANSITIONS, Ticket, TicketEvent, TicketState
from service.errors import ObjectStoreUnavailableError, StoreUnavailableError
from tests.attempts import Attempt, accept, dies, fails, reject
from tests.canaries import planted_row_of
from tests.faults import Faults, Kill
from tests.memory_manifests import ROWS, row_of
from tests.records import LINEAGE
from tests.world import CANARIES_PER_RUN, Process, World, world_with_canaries

STORY: tuple[Attempt, ...] = (dies, reject, fails(FailureKind.TRANSIENT), accept)
"""Every way to another attempt but the one that ends in a person's hands."""
FORGET = ("train-03", "train-11")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def begin(world: World, service: Process) -> Ticket:
    """Do what people do: register and submit, both again after no answer came."""
    world.register(service)
    return world.submit(*FORGET, service=service)


def guarded(world: World, faults: Faults) -> Process:
    return world.process(
        store=faults.guard(world.store),
        objects=faults.guard(world.objects),
        runner=faults.guard(world.runner),
        pixels=faults.guard(world.pixels),
    )


def live_until_killed(world: World, faults: Faults) -> bool:
    """Live through the story in one process; return whether it was killed."""
    try:
        service = guarded(world, faults)
        begin(world, service)
        world.drive(lambda: service)
    except Kill:
        return True
    return False


def live_on(world: World) -> Ticket:
    """Start the process again, without faults, until nothing is left to do."""
    world.wait_for_jobs()
    require_pointer_to_something_known(world)
    service = world.process()
    ticket = begin(world, service)
    world.drive(lambda: service)
    return ticket


def require_pointer_to_something_known(world: World) -> None:
    if world.objects.head(f"models/{LINEAGE}/current.json") is None:
        return
    known = {release.number: release.weights_digest for release in world.releases()}
    pointer = world.pointer()
    assert known[int(str(pointer["release"]))] == pointer["sha256"], "readers are pointed to what no ledger knows"


def require_story_told_once(world: World, ticket: Ticket) -> None:
    ticket, run = world.ticket(ticket), world.run(ticket)
    # The ticket is closed by the second release, and nothing else was released.
    assert (ticket.state, ticket.release_number) == (TicketState.SUCCEEDED, 2)
    assert [release.number for release in world.releases()] == [1, 2]
    # What readers get is what was audited.
    released = world.releases()[1]
    head = world.objects.head(weights_key(LINEAGE, 2))
    assert head is not None
    assert world.pointer()["sha256"] == released.weights_digest == head.sha256 == run.candidate_digest
    report = world.objects.head(report_key(LINEAGE, run.run_id, "json"))
    assert report is not None
    assert report.sha256 == released.report_digest == run.attempts[-1].report_digest
    # Exactly the requested rows are forgotten, and the canaries that went with them.
    forgotten = world.store.forgotten_rows(LINEAGE)
    asked_for = {row: release for row, release in forgotten.items() if row < len(ROWS)}
    assert asked_for == {row_of(sample_id): 2 for sample_id in FORGET}
    assert set(forgotten.values()) == {2}
    assert len(forgotten) == run.spec.unlearned_count
    # The run went through its attempts, each executed once.
    assert run.phase is RunPhase.COMMITTED
    assert [attempt.verdict for attempt in run.attempts] == [Verdict.REJECT, Verdict.ACCEPT_CANARY_BACKED]
    assert set(world.executions().values()) == {1}, "an attempt was executed twice"
    assert len(world.executions()) == len(STORY)
    # No personal data are left of it.
    left = {key.rpartition("/")[2] for key in world.objects.keys("runs")}
    evidence = {"plan.json", "plan.dsse.json", "report.json", "report.dsse.json"}
    assert left <= {"spec.json", "outcome.json", "progress.json"} | evidence
    assert world.pixels.rows == {(LINEAGE, run.spec.manifest_digest, row) for row in forgotten}
    # The ledger tells it once.
    require_ledger_in_order(world, ticket)


def require_ledger_in_order(world: World, ticket: Ticket) -> None:
    entries = world.ledger()
    kinds = [entry.kind for entry in entries]
    for kind in (LedgerKind.MODEL_REGISTERED, LedgerKind.TICKET_SUBMITTED, LedgerKind.RUN_CREATED, LedgerKind.RELEASED):
        assert kinds.count(kind) == 1
    assert kinds.count(LedgerKind.VERDICT) == 2
    state = TicketState.ACCEPTED
    for entry in entries:
        if entry.kind is LedgerKind.TICKET_CHANGED and entry.subject == ticket.ticket_id:
            assert entry.payload["from"] == state.value
            state = TRANSITIONS[state, TicketEvent(str(entry.payload["event"]))]
            assert entry.payload["to"] == state.value
    assert state is TicketState.SUCCEEDED


def test_killed_after_any_call_the_story_ends_well() -> None:
    moment = 0
    while True:
        moment += 2  # just before a call the world is as just after the one before it
        world = World(*STORY)
        if not live_until_killed(world, Faults(moment)):
            break
        require_story_told_once(world, live_on(world))
    assert moment > 100, "the story has become so short that it tests nothing"


@pytest.mark.parametrize("start", [2, 4, 6])
def test_killed_after_any_call_every_canary_is_taken_and_forgotten_once(start: int) -> None:
    moment = start
    while True:  # the three cases share the moments
        world = world_with_canaries(*STORY)
        if not live_until_killed(world, Faults(moment)):
            break
        run = world.run(live_on(world))
        batch = batch_of(world.store.canaries(LINEAGE), run.run_id)
        assert len(batch.included) == len(batch.excluded) == CANARIES_PER_RUN
        assert {canary.used_by_run for canary in world.store.canaries(LINEAGE)} == {None, run.run_id}
        requested = {planted_row_of(sample_id) for sample_id in FORGET}
        assert world.store.forgotten_rows(LINEAGE) == dict.fromkeys((*requested, *batch.included), 2)
        moment += 6


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6))
def test_killed_again_and_again_the_story_ends_well(moments: list[int]) -> None:
    world = World(*STORY)
    for moment in moments:
        live_until_killed(world, Faults(moment))
        world.wait_for_jobs()
        require_pointer_to_something_known(world)
    require_story_told_once(world, live_on(world))


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_on_disk_the_story_ends_well(tmp_path: Path, seed: int) -> None:
    store = connect_store(f"sqlite:///{tmp_path}/store.db")
    world = World(*STORY, store=store, objects=DirectoryObjectStore(tmp_path / "objects"))
    for moment in range(2 + seed, 80, 17):
        live_until_killed(world, Faults(moment))
        world.wait_for_jobs()
        require_pointer_to_something_known(world)
    require_story_told_once(world, live_on(world))
    store.close()


@pytest.mark.parametrize(("first", "error"), [(1, StoreUnavailableError), (3, ObjectStoreUnavailableError)])
def test_a_port_that_is_away_before_any_call_is_asked_again(
    first: int, error: type[StoreUnavailableError | ObjectStoreUnavailableError]
) -> None:
    for moment in count(first, 4):  # both kinds do the same: half of the calls each
        world = World(*STORY)
        faults = Faults(moment, lambda: error("away"), times=2)
        ticket = None
        while ticket is None:
            with contextlib.suppress(error):  # the caller is told, and asks again
                ticket = begin(world, guarded(world, faults))
        # A new reconciler each time, since one and the same backs off for a real second.
        world.drive(partial(guarded, world, faults))
        require_story_told_once(world, ticket)
        if faults.moment < moment:
            break
