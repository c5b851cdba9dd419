"""Publishing: only what was accepted, exactly those bytes, the pointer last."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog.testing

from service.adapters.memory import MemoryObjectStore
from service.domain.release import card_key, evidence_key, pointer_key, weights_key
from service.domain.run import RunPhase, UnlearningRun, attempt_prefix
from service.domain.ticket import TicketState
from service.errors import AuditNotPassedError, DigestMismatchError, ObjectMissingError, PointerMovedError
from service.publishing import point_to, pointed_release
from tests.attempts import accept, reject
from tests.records import LINEAGE, a_release, digest_of
from tests.world import World


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def audited(*attempts: Any, objects: MemoryObjectStore | None = None) -> tuple[World, UnlearningRun]:
    """Return a world whose run has a judged candidate that is not published yet."""
    world = World(*attempts or (accept,), objects=objects)
    world.register()
    ticket = world.submit("train-03")
    workflow = world.service.workflow
    workflow.schedule_tickets()
    workflow.open_run(LINEAGE, workflow.waiting()[LINEAGE])
    run = world.run(ticket)
    while run.phase is not RunPhase.PUBLISHING and not run.attempts:
        run = workflow.advance_run(run)
        world.wait_for_jobs()
    return world, run


def publish(world: World, run: UnlearningRun) -> Any:
    model = world.store.model(LINEAGE)
    assert model is not None
    return world.service.workflow.publisher.publish(run, model, "controller")


def require_untouched(world: World) -> None:
    assert world.pointer()["release"] == 1
    assert len(world.releases()) == 1
    assert world.store.forgotten_rows(LINEAGE) == {}


def test_publishing_writes_everything_and_moves_the_pointer_last() -> None:
    class Recording(MemoryObjectStore):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[str] = []

        def create(self, key: str, data: Any) -> Any:
            self.written.append(key)
            return super().create(key, data)

        def replace(self, key: str, data: bytes, *, expected_etag: str | None) -> Any:
            self.written.append(key)
            return super().replace(key, data, expected_etag=expected_etag)

    objects = Recording()
    world, run = audited(objects=objects)
    objects.written.clear()
    publish(world, run)

    names = ("plan.json", "plan.dsse.json", "report.json", "report.html", "report.dsse.json", "policy.json")
    evidence = {evidence_key(LINEAGE, run.run_id, name) for name in (*names, "scores.parquet")}
    assert objects.written[:2] == [weights_key(LINEAGE, 2), card_key(LINEAGE, 2)]
    assert set(objects.written[2:-1]) == evidence
    assert objects.written[-1] == pointer_key(LINEAGE)


def test_publishing_twice_publishes_once() -> None:
    world, run = audited()

    assert publish(world, run) == publish(world, run)
    assert len(world.releases()) == 2


def test_a_rejected_candidate_is_never_published() -> None:
    world, run = audited(reject)
    judged = replace(run, epoch=1, phase=RunPhase.PUBLISHING)

    with pytest.raises(AuditNotPassedError):
        publish(world, judged)
    require_untouched(world)


def test_the_report_of_another_candidate_publishes_nothing() -> None:
    world, run = audited()

    with pytest.raises(AuditNotPassedError):
        publish(world, replace(run, candidate_digest=digest_of("another")))
    require_untouched(world)


def test_another_report_than_was_judged_publishes_nothing() -> None:
    world, run = audited()

    with pytest.raises(DigestMismatchError):
        publish(world, replace(run, report_digest=digest_of("another")))
    require_untouched(world)


@pytest.mark.parametrize("name", ["report.json", "candidate.safetensors"])
def test_bytes_that_were_changed_after_the_audit_are_not_published(name: str) -> None:
    world, run = audited()
    world.objects.overwrite(f"{attempt_prefix(run.run_id, run.epoch)}/{name}", b"something else")

    with pytest.raises(DigestMismatchError):
        publish(world, run)
    require_untouched(world)


def test_a_candidate_that_is_gone_is_not_published() -> None:
    world, run = audited()
    world.objects.delete(f"{attempt_prefix(run.run_id, run.epoch)}/candidate.safetensors")

    with pytest.raises(ObjectMissingError):
        publish(world, run)
    require_untouched(world)


def test_a_run_without_a_candidate_is_misuse() -> None:
    world, run = audited()

    with pytest.raises(RuntimeError, match="nothing to publish"):
        publish(world, replace(run, candidate_digest=None))


def test_a_ticket_that_left_the_run_is_not_closed_by_its_release() -> None:
    world, run = audited()
    (ticket,) = world.store.open_tickets()
    elsewhere = replace(ticket, run_id="run-other")
    world.store._tickets[ticket.ticket_id] = elsewhere  # type: ignore[attr-defined]  # no step of ours does that
    publish(world, run)

    assert world.ticket(ticket).state is TicketState.PROCESSING
    assert len(world.store.forgotten_rows(LINEAGE)) == run.spec.unlearned_count


# The pointer


def test_a_pointer_moves_forward_and_never_back() -> None:
    objects = MemoryObjectStore()
    for number, pointed in ((1, 1), (3, 3), (2, 3), (3, 3), (4, 4)):
        point_to(objects, a_release(number))
        assert pointed_release(objects, LINEAGE) == pointed


@pytest.mark.parametrize("damage", [b"garbage", b"{}", b'{"release":null}', b"[]"])
def test_a_damaged_pointer_is_replaced(damage: bytes) -> None:
    objects = MemoryObjectStore()
    point_to(objects, a_release(2))
    objects.overwrite(pointer_key(LINEAGE), damage)

    point_to(objects, a_release(2))
    assert pointed_release(objects, LINEAGE) == 2


def test_pointing_where_it_points_writes_nothing() -> None:
    objects = MemoryObjectStore()
    point_to(objects, a_release(2))
    before = objects.head(pointer_key(LINEAGE))
    point_to(objects, a_release(2))

    assert objects.head(pointer_key(LINEAGE)) == before


def test_a_pointer_that_moves_between_looking_and_moving_is_not_overwritten() -> None:
    class Raced(MemoryObjectStore):
        def read(self, key: str) -> bytes:
            data = super().read(key)
            super().overwrite(key, data.replace(b'"release":1', b'"release":7'))
            return data

    objects = Raced()
    point_to(objects, a_release(1))

    with pytest.raises(PointerMovedError):
        point_to(objects, a_release(2))
    assert b'"release":7' in MemoryObjectStore.read(objects, pointer_key(LINEAGE))
