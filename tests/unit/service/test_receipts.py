"""Receipts of the whole service in memory: before, during and after the runs that answer a request."""

import pytest

from service.attestation import PAYLOAD_TYPE, ReceiptStatement, microseconds, read_statement
from service.domain.receipt import Receipt, forgotten_set, unproven
from service.domain.ticket import Ticket
from service.errors import UnknownTicketError
from service.signing import load_public_key, read_envelope, verify_envelope
from tests.attempts import accept, reject
from tests.records import LINEAGE, TENANT
from tests.world import KEY, SIGNER, World


@pytest.fixture
def world() -> World:
    world = World(accept)
    world.register()
    return world


def receipt_of(world: World, ticket: Ticket) -> Receipt:
    envelope = read_envelope(world.service.intake.get_receipt(ticket.ticket_id, tenant=TENANT))
    verify_envelope(envelope, [load_public_key(SIGNER.public_key.pem.encode())], PAYLOAD_TYPE)
    return read_statement(ReceiptStatement, envelope.payload).predicate


def test_an_open_ticket_is_acknowledged(world: World) -> None:
    ticket = world.submit("train-01", "train-02")

    receipt = receipt_of(world, ticket)

    assert (receipt.ticket_id, receipt.lineage, receipt.sample_count) == (ticket.ticket_id, LINEAGE, 2)
    assert receipt.request_digest == ticket.payload_digest
    assert (receipt.received_at, receipt.due_at) == (microseconds(ticket.received_at), microseconds(ticket.due_at))
    assert receipt.inclusions == ()


def test_a_ticket_whose_run_is_not_published_has_no_proof_yet() -> None:
    world = World(reject)
    world.register()
    ticket = world.submit("train-01")
    world.round()

    assert receipt_of(world, ticket).inclusions == ()


def test_what_a_release_forgot_is_proven_to_each_submitter_and_names_no_other(world: World) -> None:
    ids = {"first": ("train-03", "train-01"), "second": ("train-07",)}
    tickets = {name: world.submit(*own, request_id=name) for name, own in ids.items()}
    world.drive()

    for name, ticket in tickets.items():
        (inclusion,) = receipt_of(world, ticket).inclusions
        release = world.releases()[-1]
        assert (inclusion.run_id, inclusion.release) == (world.run(ticket).run_id, release.number)
        assert (inclusion.weights_digest, inclusion.report_digest) == (release.weights_digest, release.report_digest)
        assert inclusion.root == forgotten_set(KEY, inclusion.run_id, [*ids["first"], *ids["second"]]).root
        assert unproven(inclusion, ids[name]) == ()
        assert len(inclusion.samples) == len(ids[name])
        everybody = [*ids["first"], *ids["second"]]
        assert {everybody[at] for at in unproven(inclusion, everybody)} == set(everybody) - set(ids[name])


def test_samples_that_earlier_releases_forgot_are_proven_in_their_runs(world: World) -> None:
    first = world.submit("train-03", request_id="first")
    world.drive()
    second = world.submit("train-04", "train-03", request_id="second")
    world.drive()

    old, new = receipt_of(world, second).inclusions

    assert (old.run_id, new.run_id) == (world.run(first).run_id, world.run(second).run_id)
    assert [proof.position for proof in old.samples] == [1]
    assert unproven(old, ["train-03"]) == unproven(new, ["train-04"]) == ()
    assert new.size == old.size == 1


def test_a_ticket_that_was_answered_before_it_came_has_the_proof_of_then(world: World) -> None:
    first = world.submit("train-03", request_id="first")
    world.drive()
    again = world.submit("train-03", request_id="again")
    world.drive()

    assert receipt_of(world, again).inclusions == receipt_of(world, first).inclusions


def test_a_receipt_names_no_sample(world: World) -> None:
    ticket = world.submit("train-03")
    world.drive()

    assert "train-03" not in receipt_of(world, ticket).model_dump_json()


def test_another_tenant_has_no_receipt(world: World) -> None:
    ticket = world.submit("train-03")

    with pytest.raises(UnknownTicketError):
        world.service.intake.get_receipt(ticket.ticket_id, tenant="somebody-else")
