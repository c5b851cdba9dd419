"""The reconciler: nothing that happens to one thing keeps it from the others, or ends it."""

import time
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing

from service.adapters.memory import MemoryObjectStore
from service.adapters.memory_store import MemoryStore
from service.domain.release import pointer_key
from service.domain.run import RunPhase, UnlearningRun
from service.domain.ticket import TicketState
from service.errors import ObjectStoreUnavailableError, StoreUnavailableError
from service.reconciler import MAX_BACKOFF_SECONDS, TEND_INTERVAL
from tests.attempts import accept, reject
from tests.memory_manifests import row_of
from tests.records import LINEAGE
from tests.world import Erased, World


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def pass_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the monotonic clock, and let time pass on request."""
    start, passed = time.monotonic(), [0.0]

    def advance(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr("service.reconciler.time.monotonic", lambda: start + passed[0])
    return advance


class Unreliable(MemoryStore):
    """A store of which one method fails as long as it is told to."""

    error: BaseException | None = None
    calls = 0

    def open_tickets(self) -> Any:
        self.calls += 1
        if self.error:
            raise self.error
        return super().open_tickets()


def unreliable(error: BaseException) -> tuple[World, Unreliable]:
    store = Unreliable()
    world = World(accept, store=store)
    world.register()
    world.submit("train-03")
    store.error = error
    store.calls = 0
    return world, store


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), ZeroDivisionError(), RuntimeError("misuse")])
def test_whatever_fails_is_tried_again_when_it_may_succeed(
    error: Exception, pass_seconds: Callable[[float], None]
) -> None:
    world, store = unreliable(error)
    world.round()
    store.error = None
    pass_seconds(MAX_BACKOFF_SECONDS)
    world.drive()

    assert {ticket.state for ticket in store._tickets.values()} == {TicketState.SUCCEEDED}


def test_pauses_double_up_to_a_minute(pass_seconds: Callable[[float], None]) -> None:
    world, store = unreliable(StoreUnavailableError("away"))
    reconciler = world.service.reconciler
    reconciler.round()
    pauses = []
    for _ in range(9):
        before, waited = store.calls, 0.0
        while store.calls == before:
            pass_seconds(0.5)
            waited += 0.5
            reconciler.round()
        pauses.append(waited)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_without_end_do_not_end_the_reconciler(pass_seconds: Callable[[float], None]) -> None:
    world, store = unreliable(StoreUnavailableError("away"))
    for _ in range(1100):  # 2^1024 is more than a float holds
        world.service.reconciler.round()
        pass_seconds(MAX_BACKOFF_SECONDS)

    store.error = None
    world.drive()
    assert {ticket.state for ticket in store._tickets.values()} == {TicketState.SUCCEEDED}


def test_after_a_success_pauses_begin_anew(pass_seconds: Callable[[float], None]) -> None:
    world, store = unreliable(StoreUnavailableError("away"))
    for _ in range(5):
        world.service.reconciler.round()
        pass_seconds(MAX_BACKOFF_SECONDS)
    store.error = None
    world.service.reconciler.round()
    store.error = StoreUnavailableError("away again")
    world.service.reconciler.round()
    before = store.calls
    pass_seconds(1.0)
    world.service.reconciler.round()

    assert store.calls > before
    world.wait_for_jobs()


def test_one_lineages_trouble_does_not_keep_the_others_waiting() -> None:
    class Partly(MemoryObjectStore):
        def head(self, key: str) -> Any:
            if key.startswith("models/sick/") and self.sick:
                raise ObjectStoreUnavailableError("away")
            return super().head(key)

        sick = False

    objects = Partly()
    world = World(accept, objects=objects)
    world.register()
    world.register(lineage="sick")
    sick = world.submit("train-03", lineage="sick", request_id="sick")
    well = world.submit("train-03", request_id="well")
    objects.sick = True
    for _ in range(8):
        world.round()

    assert world.ticket(well).state is TicketState.SUCCEEDED
    assert world.ticket(sick).is_open
    assert world.run(sick).phase is RunPhase.PUBLISHING
    objects.sick = False
    world.drive(world.process)
    assert world.ticket(sick).state is TicketState.SUCCEEDED


def test_what_a_crash_left_behind_is_put_in_order_at_the_first_round() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit("train-03")
    world.drive()
    run = world.run(ticket)
    world.objects.create(f"runs/{run.run_id}/attempts/0001/pathway.safetensors", b"personal")
    world.objects.delete(pointer_key(LINEAGE))

    world.process().reconciler.round()
    assert world.pointer()["release"] == 2
    assert not [key for key in world.objects.keys("runs") if key.endswith("pathway.safetensors")]


def test_what_could_not_be_purged_is_purged_later_by_the_same_process(pass_seconds: Callable[[float], None]) -> None:
    class Stuck(MemoryObjectStore):
        stuck = True

        def delete(self, key: str) -> None:
            if self.stuck:
                raise ObjectStoreUnavailableError("away")
            super().delete(key)

    objects = Stuck()
    world = World(reject, accept, objects=objects)
    world.register()
    ticket = world.submit("train-03")
    for _ in range(6):
        world.round()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert [key for key in objects.keys("runs") if key.endswith("pathway.safetensors")]

    objects.stuck = False
    pass_seconds(MAX_BACKOFF_SECONDS)
    world.round()
    assert not [key for key in objects.keys("runs") if key.endswith((".safetensors", ".parquet"))]


def test_images_that_could_not_be_erased_are_erased_later(pass_seconds: Callable[[float], None]) -> None:
    class Stuck(Erased):
        stuck = True

        def erase(self, lineage: str, manifest_digest: str, rows: Collection[int]) -> None:
            if self.stuck:
                raise ObjectStoreUnavailableError("a job is decoding")
            super().erase(lineage, manifest_digest, rows)

    world = World(accept)
    world.pixels = stuck = Stuck()
    world.service = world.process()
    world.register()
    ticket = world.submit("train-03")
    for _ in range(6):
        world.round()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert not stuck.rows

    stuck.stuck = False
    pass_seconds(MAX_BACKOFF_SECONDS)
    world.round()
    digest = world.registration.manifest_digest
    assert stuck.rows == {(LINEAGE, digest, row) for row in world.store.forgotten_rows(LINEAGE)}
    assert (LINEAGE, digest, row_of("train-03")) in stuck.rows


def test_a_quiet_service_does_not_look_for_leftovers_again_and_again() -> None:
    class Counting(MemoryObjectStore):
        def __init__(self) -> None:
            super().__init__()
            self.listed: list[str] = []

        def keys(self, folder: str) -> Any:
            self.listed.append(folder)
            return super().keys(folder)

    objects = Counting()
    world = World(accept, objects=objects)
    world.register()
    for _ in range(10):
        world.round()

    assert sorted(objects.listed) == ["references", "runs/"]
    world.clock.advance(TEND_INTERVAL)
    world.round()
    assert objects.listed[2:] == ["references"]


def test_the_thread_goes_on_until_it_is_stopped() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit("train-03")
    reconciler = world.process().reconciler
    reconciler.start()
    deadline = time.monotonic() + 20
    while world.ticket(ticket).is_open and time.monotonic() < deadline:
        time.sleep(0.01)
    reconciler.stop(10)

    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    late = world.submit("train-05", request_id="late")
    time.sleep(0.05)
    assert world.ticket(late).state is TicketState.ACCEPTED


def test_an_error_that_nobody_foresaw_is_logged_with_the_step(logs: list[Any]) -> None:
    world, _ = unreliable(ZeroDivisionError())
    world.round()

    assert {entry["step"] for entry in logs if entry["event"] == "step failed"} == {"holds", "tickets", "batches"}


def test_no_id_of_a_sample_is_logged(logs: list[Any]) -> None:
    world = World(reject, accept)
    world.register()
    world.submit("train-03")
    world.drive()

    assert logs
    assert "train-03" not in repr(logs)


def test_time_in_a_run_is_told_from_the_services_clock() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit("train-03")
    world.drive()

    run: UnlearningRun = world.run(ticket)
    assert run.closed_at is not None
    assert run.closed_at - run.created_at < timedelta(minutes=5)
