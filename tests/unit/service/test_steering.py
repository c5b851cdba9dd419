"""What operators do with runs."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from mcu_core.config import AnotherPointRung, McuRung, RetrainRung
from service.domain.ledger import LedgerKind
from service.domain.run import FailureKind, RunAction, RunOrder, RunPhase, UnlearningRun
from service.domain.ticket import Ticket, TicketState
from service.errors import (
    RequestIdReusedError,
    RunNotEscalatableError,
    RunNotRetryableError,
    StaleVersionError,
    UnknownRunError,
)
from service.steering import RunSteering
from tests.attempts import Attempt, accept, dies, fails, hides, reject, trace_left
from tests.memory_manifests import TRAIN
from tests.records import TENANT
from tests.world import ACTOR, World

BROKEN = fails(FailureKind.INPUT)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def retry(world: World, run: UnlearningRun, request_id: str = "again", **changes: Any) -> UnlearningRun:
    order = RunOrder(request_id=request_id, action=RunAction.RETRY, reason=changes.pop("reason", "disk replaced"))
    return world.service.intake.retry_run(run.run_id, order, **({"tenant": TENANT, "actor": ACTOR} | changes))


def escalate(world: World, run: UnlearningRun, rung: int, request_id: str = "up", **changes: Any) -> UnlearningRun:
    order = RunOrder(request_id=request_id, action=RunAction.ESCALATE, reason="time is short", rung_index=rung)
    return world.service.intake.escalate_run(run.run_id, order, **({"tenant": TENANT, "actor": ACTOR} | changes))


def failed(*attempts: Any) -> tuple[World, Ticket, UnlearningRun]:
    world = World(*attempts)
    world.register()
    ticket = world.submit(*TRAIN[:3])
    world.drive()
    assert world.ticket(ticket).state is TicketState.NEEDS_ATTENTION
    return world, ticket, world.run(ticket)


def at_work(*attempts: Any) -> tuple[World, Ticket]:
    """Return a world whose run has been given its first job, and has not looked at how that ended."""
    world = World(*attempts)
    world.register()
    ticket = world.submit(*TRAIN[:3])
    world.service.reconciler.round()
    return world, ticket


def test_a_failed_run_that_is_retried_ends_in_a_release_of_a_new_run() -> None:
    world, ticket, run = failed(BROKEN, accept)
    retry(world, run)

    assert world.ticket(ticket).state is TicketState.SCHEDULED
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert world.run(ticket).run_id != run.run_id
    assert world.releases()[-1].ticket_ids == (ticket.ticket_id,)


def test_a_retry_is_in_the_ledger_with_who_and_why() -> None:
    world, ticket, run = failed(BROKEN, accept)
    retry(world, run)
    order, change = world.ledger()[-2:]

    assert (order.kind, order.actor, order.subject) == (LedgerKind.RUN_ORDERED, ACTOR, run.run_id)
    assert order.payload["reason"] == "disk replaced"
    assert (change.subject, change.payload["to"]) == (ticket.ticket_id, "scheduled")


def test_a_retry_begins_on_the_rung_on_which_the_run_ended() -> None:
    world, ticket, run = failed(reject, reject, BROKEN, accept)
    assert run.rung_index == 2
    retry(world, run)
    world.drive()

    assert [type(rung) for rung in world.run(ticket).spec.config.ladder] == [RetrainRung]


def test_a_retry_on_another_point_begins_where_its_pathway_is_made() -> None:
    world, ticket, run = failed(reject, BROKEN, accept)
    assert run.rung_index == 1
    retry(world, run)
    world.drive()

    assert [type(rung) for rung in world.run(ticket).spec.config.ladder] == [McuRung, AnotherPointRung, RetrainRung]


def test_the_same_retry_twice_is_one_also_after_the_new_run_has_failed() -> None:
    world, ticket, run = failed(BROKEN)
    retry(world, run)
    world.drive()
    before = len(world.ledger())
    retry(world, run)

    assert world.ticket(ticket).state is TicketState.NEEDS_ATTENTION
    assert len(world.ledger()) == before


def test_the_request_id_of_a_retry_belongs_to_it() -> None:
    world, _, run = failed(BROKEN)
    retry(world, run)

    with pytest.raises(RequestIdReusedError):
        retry(world, run, reason="another one")


def test_a_run_whose_tickets_went_on_is_not_retried_again() -> None:
    world, _, run = failed(BROKEN, accept)
    retry(world, run)
    world.drive()

    with pytest.raises(RunNotRetryableError, match="none of its tickets"):
        retry(world, run, "another")


def test_a_run_that_was_published_is_not_retried() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit(*TRAIN[:3])
    world.drive()

    with pytest.raises(RunNotRetryableError, match="committed"):
        retry(world, world.run(ticket))


def test_another_tenants_run_is_unknown() -> None:
    world, _, run = failed(BROKEN)

    with pytest.raises(UnknownRunError):
        retry(world, run, tenant="somebody-else")


def test_a_run_that_has_changed_is_not_retried() -> None:
    world, _, run = failed(BROKEN)

    with pytest.raises(StaleVersionError):
        retry(world, run, expected_version=run.version - 1)


def test_of_two_retries_at_once_one_is_carried_out() -> None:
    world, _, run = failed(BROKEN)
    steering = RunSteering(store=world.store, objects=world.objects, clock=world.clock)
    one, other = (RunOrder(request_id=name, action=RunAction.RETRY, reason="r") for name in ("one", "other"))
    steering.retry(run, one, actor=ACTOR)

    with pytest.raises((StaleVersionError, RunNotRetryableError)):
        steering.retry(run, other, actor=ACTOR)


def test_a_failed_run_that_is_escalated_begins_on_that_rung() -> None:
    world, ticket, run = failed(BROKEN, accept)
    escalate(world, run, 2)
    world.drive()

    assert [type(rung) for rung in world.run(ticket).spec.config.ladder] == [RetrainRung]
    assert world.ticket(ticket).state is TicketState.SUCCEEDED


def test_a_run_at_work_that_is_escalated_gives_its_attempt_up() -> None:
    world, ticket = at_work(dies, accept)
    world.wait_for_jobs()
    run = escalate(world, world.run(ticket), 2)

    assert (run.phase, run.rung_index, run.epoch, run.plan_digest) == (RunPhase.UNLEARNING, 2, 2, None)
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert [(order.epoch, order.rung_index) for order in world.orders] == [(1, 0), (2, 2)]
    assert world.run(ticket).attempts[-1].rung_kind == "retrain"


def test_the_rung_must_be_above_the_present_one_and_on_the_ladder() -> None:
    world, _, run = failed(reject, BROKEN)

    for rung in (0, 1, 3):
        with pytest.raises(RunNotEscalatableError, match="above"):
            escalate(world, run, rung)


def test_without_a_pathway_there_is_no_other_point_to_go_to() -> None:
    world, _, run = failed(BROKEN)

    with pytest.raises(RunNotEscalatableError, match="pathway"):
        escalate(world, run, 1)


@pytest.mark.parametrize("attempt", [reject, hides(trace_left)])
def test_what_was_audited_is_judged_before_anybody_moves_on(attempt: Attempt) -> None:
    world, ticket = at_work(attempt)
    world.wait_for_jobs()

    with pytest.raises(RunNotEscalatableError, match="look again"):
        escalate(world, world.run(ticket), 2)


def test_a_run_that_is_published_cannot_be_escalated() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit(*TRAIN[:3])
    world.drive()

    with pytest.raises(RunNotEscalatableError, match="committed"):
        escalate(world, world.run(ticket), 2)


def test_the_same_escalation_twice_is_one() -> None:
    world, ticket = at_work(dies, accept)
    world.wait_for_jobs()
    run = world.run(ticket)

    assert escalate(world, run, 2) == escalate(world, run, 2)
