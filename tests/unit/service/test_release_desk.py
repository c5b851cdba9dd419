"""What serving systems ask and say of releases."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from structlog.testing import capture_logs

from service.domain.deployment import Deployment, DeploymentNotice
from service.domain.ledger import LedgerKind
from service.domain.release import Release
from service.domain.run import RunPhase
from service.domain.serving import ServingAnswer, ServingDecision
from service.domain.ticket import Ticket, TicketState
from service.errors import (
    RequestIdReusedError,
    ResurrectsForgottenSamplesError,
    UnknownLineageError,
    UnknownReleaseError,
    UnknownWeightsError,
)
from service.ports import imported_weights_key
from tests.attempts import accept
from tests.memory_manifests import TRAIN
from tests.records import LINEAGE, NOW, TENANT, digest_of
from tests.world import ACTOR, CANARIES_PER_RUN, ROLLBACK_WINDOW, World


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
def world() -> World:
    world = World(accept)
    world.register(requires_acknowledgement=True)
    return world


def published(world: World, *samples: str) -> Ticket:
    """Ask for samples to be forgotten, and let time pass until that is published."""
    ticket = world.submit(*samples, request_id=" ".join(samples))
    for _ in range(9):
        world.round()
    assert world.run(ticket).phase is RunPhase.COMMITTED
    return ticket


def acknowledge(world: World, number: int, *, name: str = "eu", request_id: str = "") -> tuple[Release, Deployment]:
    release = next(release for release in world.releases() if release.number == number)
    notice = DeploymentNotice(
        request_id=request_id or f"{name}-{number}",
        weights_digest=release.weights_digest,
        name=name,
        deployed_at=NOW,
    )
    return world.service.intake.acknowledge_deployment(LINEAGE, notice, tenant=TENANT, actor=ACTOR)


def asked(world: World, **subject: Any) -> ServingAnswer:
    return world.service.intake.check_lineage(LINEAGE, tenant=TENANT, **subject)[1]


# Acknowledgement


def test_a_ticket_succeeds_when_the_serving_side_says_that_it_runs_the_release(world: World) -> None:
    ticket = published(world, *TRAIN[:3])
    assert world.ticket(ticket).state is TicketState.PUBLISHED
    world.clock.advance(timedelta(days=2))
    release, deployment = acknowledge(world, 2)

    assert (release.number, deployment.closed_ticket_ids) == (2, (ticket.ticket_id,))
    closed = world.ticket(ticket)
    assert (closed.state, closed.closed_at) == (TicketState.SUCCEEDED, world.clock.now())


def test_where_nobody_asks_for_acknowledgement_tickets_do_not_wait_for_it() -> None:
    world = World(accept)
    world.register()
    ticket = published(world, *TRAIN[:3])

    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert acknowledge(world, 2)[1].closed_ticket_ids == ()


def test_a_newer_release_puts_the_tickets_of_older_ones_in_effect_and_not_the_other_way_round(world: World) -> None:
    tickets = [published(world, name) for name in TRAIN[:3]]
    acknowledge(world, 3)
    states = [world.ticket(ticket).state for ticket in tickets]

    assert states == [TicketState.SUCCEEDED, TicketState.SUCCEEDED, TicketState.PUBLISHED]


def test_the_original_puts_nothing_in_effect(world: World) -> None:
    ticket = published(world, TRAIN[0])
    acknowledge(world, 1)

    assert world.ticket(ticket).state is TicketState.PUBLISHED


def test_an_acknowledgement_is_in_the_ledger_before_the_tickets_that_it_closes(world: World) -> None:
    ticket = published(world, TRAIN[0])
    acknowledge(world, 2)
    deployed, changed = world.ledger()[-2:]

    assert (deployed.kind, deployed.actor, deployed.payload["release"]) == (LedgerKind.DEPLOYED, ACTOR, 2)
    assert (changed.subject, changed.payload["to"]) == (ticket.ticket_id, "succeeded")


def test_the_same_notice_twice_gets_the_same_answer(world: World) -> None:
    published(world, TRAIN[0])
    first = acknowledge(world, 2)
    entries = len(world.ledger())

    assert acknowledge(world, 2) == first
    assert len(world.ledger()) == entries


def test_a_request_id_belongs_to_one_notice(world: World) -> None:
    published(world, TRAIN[0])
    acknowledge(world, 2, request_id="once")

    with pytest.raises(RequestIdReusedError):
        acknowledge(world, 2, name="us", request_id="once")


def test_a_serving_system_does_not_go_back(world: World) -> None:
    published(world, TRAIN[0])
    acknowledge(world, 2)

    with pytest.raises(ResurrectsForgottenSamplesError, match="Serve release 2"):
        acknowledge(world, 1)
    assert acknowledge(world, 1, name="us")[0].number == 1, "which has not come as far yet"


def test_weights_that_are_no_release_are_not_acknowledged(world: World) -> None:
    notice = DeploymentNotice(request_id="r", weights_digest=digest_of("?"), name="eu", deployed_at=NOW)

    with pytest.raises(UnknownWeightsError):
        world.service.intake.acknowledge_deployment(LINEAGE, notice, tenant=TENANT, actor=ACTOR)


def test_what_was_forgotten_before_takes_effect_only_when_that_release_is_served(world: World) -> None:
    published(world, *TRAIN[:2])
    early = world.submit(TRAIN[0], request_id="early")
    world.round()
    assert (world.ticket(early).state, world.ticket(early).release_number) == (TicketState.PUBLISHED, 2)
    acknowledge(world, 2)
    assert world.ticket(early).state is TicketState.SUCCEEDED

    late = world.submit(TRAIN[1], request_id="late")
    world.round()
    assert world.ticket(late).state is TicketState.SUCCEEDED


# Serving


def test_the_current_release_may_serve(world: World) -> None:
    published(world, TRAIN[0])

    assert asked(world, number=2).decision is ServingDecision.ALLOWED
    assert asked(world, weights_digest=world.releases()[-1].weights_digest).decision is ServingDecision.ALLOWED


def test_a_superseded_release_would_bring_back_what_later_ones_have_forgotten(world: World) -> None:
    published(world, *TRAIN[:3])
    published(world, *TRAIN[3:5])
    answer = asked(world, number=1)

    assert answer.decision is ServingDecision.RESURRECTS_FORGOTTEN_SAMPLES
    assert answer.resurrected == 5 + 2 * CANARIES_PER_RUN == len(world.store.forgotten_rows(LINEAGE))
    assert f"{3 + CANARIES_PER_RUN} that release 2 has forgotten" in answer.text
    assert "Serve release 3" in answer.text
    assert not any(name in answer.text for name in TRAIN)
    assert asked(world, number=2).resurrected == 2 + CANARIES_PER_RUN


@pytest.mark.parametrize("subject", [{"number": 7}, {"weights_digest": digest_of("?")}])
def test_what_was_never_released_is_unknown(world: World, subject: dict[str, Any]) -> None:
    assert asked(world, **subject).decision is ServingDecision.UNKNOWN_WEIGHTS


def test_another_tenants_lineage_is_unknown(world: World) -> None:
    with pytest.raises(UnknownLineageError):
        world.service.intake.check_lineage(LINEAGE, tenant="somebody-else", number=1)


# Releases


def test_a_release_comes_with_its_attestation_and_the_time_of_its_purge(world: World) -> None:
    published(world, TRAIN[0])
    intake = world.service.intake
    old, current = intake.get_release(LINEAGE, 1, tenant=TENANT), intake.get_release(LINEAGE, 0, tenant=TENANT)

    assert (old.release.number, old.is_current, old.attestation) == (1, False, b"")
    assert old.purge_at == current.release.created_at + ROLLBACK_WINDOW
    assert (current.release.number, current.is_current, current.purge_at) == (2, True, None)
    assert json.loads(current.attestation)["signatures"]


def test_a_release_that_never_was_is_unknown(world: World) -> None:
    with pytest.raises(UnknownReleaseError):
        world.service.intake.get_release(LINEAGE, 7, tenant=TENANT)


# Registration


def test_a_superseded_release_is_not_registered_under_another_name(world: World) -> None:
    published(world, TRAIN[0])

    with pytest.raises(ResurrectsForgottenSamplesError, match="release 1 of lineage"):
        world.register(lineage="elsewhere")


def test_the_current_release_is_not_registered_with_a_manifest_that_would_bring_back_what_it_forgot(
    world: World,
) -> None:
    published(world, TRAIN[0])
    weights = world.objects.read(f"models/{LINEAGE}/releases/v000002/model.safetensors")
    digest = hashlib.sha256(weights).hexdigest()
    world.objects.create(imported_weights_key(digest), weights)

    with pytest.raises(ResurrectsForgottenSamplesError, match="still has for training"):
        world.register(lineage="elsewhere", weights_digest=digest)


def test_other_weights_are_registered_beside_a_lineage_that_has_forgotten(world: World) -> None:
    published(world, TRAIN[0])
    weights = save({"layer.weight": np.full((3, 4), 7, np.float32)})
    digest = hashlib.sha256(weights).hexdigest()
    world.objects.create(imported_weights_key(digest), weights)

    assert world.register(lineage="elsewhere", weights_digest=digest).lineage == "elsewhere"


def test_the_guard_tells_nobody_of_another_tenants_lineages(world: World) -> None:
    published(world, TRAIN[0])
    registration = world.registration
    model = world.service.intake.register_model(
        type(registration)(**{**_fields(registration), "lineage": "elsewhere"}), tenant="somebody-else", actor=ACTOR
    )

    assert model.tenant == "somebody-else"


def _fields(record: object) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}  # type: ignore[attr-defined] # of a dataclass
