"""DeletionService.ExtendTicket as callers see it."""

from collections.abc import Callable
from datetime import timedelta

import grpc
import pytest

from service.domain.ticket import TicketEvent
from service.pb.unlearning.v1 import ticket_pb2
from service.pb.unlearning.v1.deletion_service_pb2 import CancelTicketRequest, ClockPause, ExtendTicketRequest
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api, submission
from tests.contract.rpc.records import NOW

DAY = timedelta(days=1)
DUE = NOW.replace(month=12)


def extension(
    ticket: ticket_pb2.Ticket, days: float = 10, *, etag: str = "", request_id: str = "extend"
) -> ExtendTicketRequest:
    request = ExtendTicketRequest(ticket_id=ticket.ticket_id, request_id=request_id, reason="why", etag=etag)
    request.due_time.FromDatetime(DUE + days * DAY)
    return request


@pytest.fixture
def ticket(api: Api) -> ticket_pb2.Ticket:
    return api.deletion.SubmitTicket(submission()).ticket


def test_an_extended_ticket_has_its_new_due_time_and_another_etag(api: Api, ticket: ticket_pb2.Ticket) -> None:
    extended = api.deletion.ExtendTicket(extension(ticket, etag=ticket.etag)).ticket

    assert extended.due_time.ToDatetime(NOW.tzinfo) == DUE + 10 * DAY
    assert extended.etag != ticket.etag
    assert len(api.application.actors) == 2


def test_the_state_against_the_due_time_follows_it(api: Api, ticket: ticket_pb2.Ticket) -> None:
    api.clock.set(DUE - DAY)
    extended = api.deletion.ExtendTicket(extension(ticket, 40)).ticket
    assert extended.sla_state == ticket_pb2.SLA_STATE_ON_TRACK

    api.clock.set(DUE + 40 * DAY + timedelta(microseconds=1))
    again = api.deletion.ExtendTicket(extension(ticket, 40)).ticket
    assert again.sla_state == ticket_pb2.SLA_STATE_OVERDUE


def test_the_same_extension_twice_answers_alike_though_the_etag_is_old(api: Api, ticket: ticket_pb2.Ticket) -> None:
    request = extension(ticket, etag=ticket.etag)

    assert api.deletion.ExtendTicket(request) == api.deletion.ExtendTicket(request)
    assert refusal_of(lambda: api.deletion.ExtendTicket(extension(ticket, 11))).reason == "REQUEST_ID_REUSED"


def test_a_pause_moves_the_due_time_by_its_length(api: Api, ticket: ticket_pb2.Ticket) -> None:
    api.clock.advance(5 * DAY)
    pause = ClockPause()
    pause.start_time.FromDatetime(NOW + DAY)
    pause.end_time.FromDatetime(NOW + 3 * DAY)
    request = ExtendTicketRequest(ticket_id=ticket.ticket_id, request_id="pause", reason="identity", pause=pause)

    assert api.deletion.ExtendTicket(request).ticket.due_time.ToDatetime(NOW.tzinfo) == DUE + 2 * DAY


def test_an_old_etag_is_refused(api: Api, ticket: ticket_pb2.Ticket) -> None:
    api.application.change(api.application.tickets[ticket.ticket_id], TicketEvent.SCHEDULE)
    refusal = refusal_of(lambda: api.deletion.ExtendTicket(extension(ticket, etag=ticket.etag)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


def test_more_than_the_law_allows_is_refused_and_told(api: Api, ticket: ticket_pb2.Ticket) -> None:
    refusal = refusal_of(lambda: api.deletion.ExtendTicket(extension(ticket, 100)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EXTENSION_NOT_ALLOWED")
    assert refusal.info.metadata["latest_due_time"] == NOW.replace(year=2027, month=2).isoformat()


def test_a_closed_ticket_is_not_extended(api: Api, ticket: ticket_pb2.Ticket) -> None:
    api.deletion.CancelTicket(CancelTicketRequest(request_id="c", ticket_id=ticket.ticket_id))
    refusal = refusal_of(lambda: api.deletion.ExtendTicket(extension(ticket)))

    assert refusal.reason == "TICKET_NOT_EXTENDABLE"


def test_a_ticket_that_is_not_there_is_not_found(api: Api, ticket: ticket_pb2.Ticket) -> None:
    ticket.ticket_id = "tkt-9"

    assert refusal_of(lambda: api.deletion.ExtendTicket(extension(ticket))).reason == "UNKNOWN_TICKET"


def with_an_odd_pause(request: ExtendTicketRequest) -> None:
    request.ClearField("due_time")
    request.pause.start_time.seconds = -(2**40)


CHANGES: dict[str, Callable[[ExtendTicketRequest], None]] = {
    "request_id": lambda request: request.ClearField("request_id"),
    "ticket_id": lambda request: request.ClearField("ticket_id"),
    "reason": lambda request: request.ClearField("reason"),
    "due_time": lambda request: request.ClearField("due_time"),
    "pause.start_time": with_an_odd_pause,
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_request_that_breaks_the_contract_names_its_field(api: Api, ticket: ticket_pb2.Ticket, field: str) -> None:
    request = extension(ticket)
    CHANGES[field](request)

    assert refusal_of(lambda: api.deletion.ExtendTicket(request)).fields() == [field]


def test_a_due_time_and_a_pause_exclude_each_other(api: Api, ticket: ticket_pb2.Ticket) -> None:
    request = extension(ticket)
    request.pause.SetInParent()

    assert refusal_of(lambda: api.deletion.ExtendTicket(request)).fields() == ["due_time"]
