"""Tickets that are partly held, where serving systems acknowledge, operators retry and old weights are purged."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mcu_core.config import RetrainRung
from service.adapters.sql_store import connect_store
from service.domain.deadline import Regime
from service.domain.deployment import DeploymentNotice
from service.domain.release import weights_key
from service.domain.run import FailureKind, RunAction, RunOrder, RunPhase, UnlearningRun
from service.domain.submission import ByUpload, Submission
from service.domain.ticket import Ticket, TicketState
from service.domain.upload import UploadHeader
from tests.attempts import accept, fails, reject
from tests.memory_manifests import row_of
from tests.records import LINEAGE, NOW, TENANT
from tests.world import ACTOR, ROLLBACK_WINDOW, World

BROKEN = fails(FailureKind.INPUT)
_ROUNDS = 9
"""More than any run here needs."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def registered(*attempts: Any, requires_acknowledgement: bool = False) -> World:
    world = World(*attempts)
    world.register(requires_acknowledgement=requires_acknowledgement)
    return world


def pass_time(world: World) -> None:
    for _ in range(_ROUNDS):
        world.round()


def acknowledge(world: World, number: int) -> tuple[str, ...]:
    """Say that a release is served; return the tickets that this closed."""
    notice = DeploymentNotice(
        request_id=f"eu-{number}",
        weights_digest=world.releases()[number - 1].weights_digest,
        name="eu",
        deployed_at=NOW,
    )
    _, deployment = world.service.intake.acknowledge_deployment(LINEAGE, notice, tenant=TENANT, actor=ACTOR)
    return deployment.closed_ticket_ids


def order(world: World, run: UnlearningRun, action: RunAction, rung_index: int | None = None) -> None:
    """Have a run tried again, or moved up to a rung."""
    intake, asked = world.service.intake, RunOrder(request_id="o", action=action, reason="time", rung_index=rung_index)
    if action is RunAction.RETRY:
        intake.retry_run(run.run_id, asked, tenant=TENANT, actor=ACTOR)
    else:
        intake.escalate_run(run.run_id, asked, tenant=TENANT, actor=ACTOR)


def failed(world: World, *samples: str) -> tuple[Ticket, UnlearningRun]:
    ticket = world.submit(*samples)
    world.drive()
    assert world.ticket(ticket).state is TicketState.NEEDS_ATTENTION
    return ticket, world.run(ticket)


# Acknowledgement


def test_a_partly_held_ticket_does_not_succeed_when_the_release_of_its_first_part_is_served() -> None:
    world = registered(accept, requires_acknowledgement=True)
    world.hold("train-03")
    held = world.submit("train-03", "train-11", request_id="held")
    whole = world.submit("train-12", request_id="whole")
    pass_time(world)
    assert [world.ticket(each).state for each in (held, whole)] == [TicketState.ON_HOLD, TicketState.PUBLISHED]

    assert acknowledge(world, 2) == (whole.ticket_id,)
    assert world.ticket(held).state is TicketState.ON_HOLD


@pytest.mark.parametrize("is_first_part_served", [True, False])
def test_the_rest_of_a_partly_held_ticket_waits_for_its_own_acknowledgement(*, is_first_part_served: bool) -> None:
    world = registered(accept, requires_acknowledgement=True)
    hold = world.hold("train-03")
    ticket = world.submit("train-03", "train-11")
    pass_time(world)
    if is_first_part_served:
        acknowledge(world, 2)
    world.end_hold(hold)
    pass_time(world)

    published = world.ticket(ticket)
    assert (published.state, published.release_number, published.closed_at) == (TicketState.PUBLISHED, 3, None)
    if not is_first_part_served:
        assert acknowledge(world, 2) == (), "the rest is still known to that release"
    assert acknowledge(world, 3) == (ticket.ticket_id,)
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert {row_of("train-03"), row_of("train-11")} <= world.store.forgotten_rows(LINEAGE).keys()


# Purge


def test_superseded_weights_are_purged_while_a_held_ticket_waits_and_its_rest_is_served_all_the_same() -> None:
    world = registered(accept)
    hold = world.hold("train-03")
    ticket = world.submit("train-03", "train-11")
    world.drive()
    world.clock.advance(ROLLBACK_WINDOW)
    world.round()
    assert world.ticket(ticket).state is TicketState.ON_HOLD
    assert world.objects.head(weights_key(LINEAGE, 1)) is None
    assert world.objects.head(weights_key(LINEAGE, 2)) is not None

    world.end_hold(hold)
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert world.releases()[-1].number == 3


def test_a_ticket_whose_first_part_is_published_keeps_no_old_weights_when_a_person_is_asked_for_the_rest() -> None:
    world = registered(accept)
    hold = world.hold("train-03")
    ticket = world.submit("train-03", "train-11")
    world.drive()
    world.end_hold(hold)
    world.service.workflow.held.sort_tickets()
    world.service.workflow.batcher.escalate([world.ticket(ticket)], "ManifestError", "the manifest is gone")
    world.clock.advance(ROLLBACK_WINDOW + timedelta(minutes=2))
    world.round()

    assert world.ticket(ticket).state is TicketState.NEEDS_ATTENTION
    assert world.objects.head(weights_key(LINEAGE, 1)) is None


# Orders of operators


def test_an_order_for_a_run_is_spent_once_the_run_is_published_and_the_held_rest_gets_the_whole_ladder() -> None:
    world = registered(BROKEN, accept)
    ticket, run = failed(world, "train-03", "train-11")
    ladder = run.spec.config.ladder
    hold = world.hold("train-03")
    order(world, run, RunAction.ESCALATE, len(ladder) - 1)
    world.drive()
    waiting = world.ticket(ticket)
    assert (waiting.state, waiting.forgotten_count, waiting.rungs_left) == (TicketState.ON_HOLD, 1, None)
    assert world.run(ticket).spec.config.ladder == ladder[-1:]

    world.end_hold(hold)
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert world.run(ticket).spec.config.ladder == ladder


def test_a_retry_outlives_a_hold_on_everything_that_the_ticket_names() -> None:
    world = registered(reject, reject, BROKEN, accept)
    ticket, run = failed(world, "train-03", "train-11")
    assert run.rung_index > 0
    hold = world.hold("train-03", "train-11")
    order(world, run, RunAction.RETRY)
    world.drive()
    assert world.ticket(ticket).state is TicketState.ON_HOLD

    world.end_hold(hold)
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert isinstance(world.run(ticket).spec.config.ladder[0], RetrainRung)


def test_a_run_that_an_operator_has_moved_up_and_a_hold_ends_is_followed_by_one_that_begins_there() -> None:
    world = registered(accept)
    ticket = world.submit("train-03", "train-11")
    world.service.reconciler.round()  # the first attempt is at work, and nobody has looked at how it ended
    run = world.run(ticket)
    world.objects.delete(f"runs/{run.run_id}/attempts/0001/outcome.json")
    order(world, run, RunAction.ESCALATE, len(run.spec.config.ladder) - 1)
    world.hold("train-03")
    world.drive()

    assert world.store.run(run.run_id).phase is RunPhase.ABANDONED  # type: ignore[union-attr]  # it is not lost
    assert world.run(ticket).spec.config.ladder == run.spec.config.ladder[-1:]
    assert world.ticket(ticket).state is TicketState.ON_HOLD
    assert world.ticket(ticket).forgotten_count == 1


# Uploads


def submit_upload(world: World, *samples: str) -> Ticket:
    intake = world.service.intake
    header = UploadHeader(request_id="upload", lineage=LINEAGE, sample_count=len(samples))
    upload = intake.upload_sample_ids(header, [samples], tenant=TENANT)
    by_upload = ByUpload(upload_id=upload.upload_id)
    asked = Submission(lineage=LINEAGE, request_id="r", sample_ids=(), regime=Regime.GDPR, selection=by_upload)
    return intake.submit_ticket(asked, tenant=TENANT, actor=ACTOR)


@pytest.mark.parametrize("held", [("train-03",), ("train-03", "train-11")])
def test_a_ticket_whose_ids_were_uploaded_waits_for_a_hold_and_is_served_after_it(
    tmp_path: Path, held: tuple[str, ...]
) -> None:
    store = connect_store(f"sqlite:///{tmp_path}/store.db")
    world = World(accept, store=store)
    world.register()
    hold = world.hold(*held)
    ticket = submit_upload(world, "train-03", "train-11")
    world.drive()
    waiting = world.ticket(ticket)
    world.round()
    assert waiting.state is TicketState.ON_HOLD
    assert world.ticket(ticket) == waiting, "it is not brought back while the hold lasts"

    world.end_hold(hold)
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    store.close()
