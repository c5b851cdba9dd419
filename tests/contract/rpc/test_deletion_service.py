"""DeletionService as callers see it; watching has a file of its own."""

from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed

from service.domain.ticket import TicketEvent
from service.pb.unlearning.v1 import sample_selection_pb2, ticket_pb2
from service.pb.unlearning.v1.deletion_service_pb2 import (
    CancelTicketRequest,
    GetReceiptRequest,
    GetTicketRequest,
    ListTicketsRequest,
)
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api, submission
from tests.contract.rpc.records import LINEAGE, NOW


def test_a_submitted_ticket_is_returned_with_its_deadline(api: Api) -> None:
    ticket = api.deletion.SubmitTicket(submission()).ticket

    assert ticket.state == ticket_pb2.TICKET_STATE_ACCEPTED
    assert (ticket.lineage, ticket.request_id, ticket.sample_count) == (LINEAGE, "request-1", 2)
    assert ticket.receive_time.ToDatetime(NOW.tzinfo) == NOW
    assert ticket.due_time.ToDatetime(NOW.tzinfo) == NOW.replace(month=12)
    assert ticket.sla_state == ticket_pb2.SLA_STATE_ON_TRACK
    assert ticket.source == ticket_pb2.SAMPLE_SOURCE_INLINE
    assert not ticket.HasField("close_time")


def test_a_ticket_can_be_read_back_as_it_was_acknowledged(api: Api) -> None:
    ticket = api.deletion.SubmitTicket(submission()).ticket

    assert api.deletion.GetTicket(GetTicketRequest(ticket_id=ticket.ticket_id)).ticket == ticket


def test_a_ticket_has_a_receipt(api: Api) -> None:
    ticket = api.deletion.SubmitTicket(submission()).ticket

    receipt = api.deletion.GetReceipt(GetReceiptRequest(ticket_id=ticket.ticket_id))
    assert receipt.envelope == b"receipt of " + ticket.ticket_id.encode()


def test_a_ticket_that_is_not_there_has_none(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.GetReceipt(GetReceiptRequest(ticket_id="tkt-9")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TICKET")


def test_the_same_request_twice_makes_one_ticket(api: Api) -> None:
    first = api.deletion.SubmitTicket(submission())
    second = api.deletion.SubmitTicket(submission())

    assert first == second
    assert len(api.application.tickets) == 1


def test_a_request_id_with_other_content_is_refused(api: Api) -> None:
    ticket = api.deletion.SubmitTicket(submission()).ticket
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("request-1", "sample-9")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    (resource,) = refusal.all_of(error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("unlearning.v1.Ticket", ticket.ticket_id)


def test_a_preview_says_what_would_happen_and_stores_nothing(api: Api) -> None:
    response = api.deletion.SubmitTicket(submission(validate_only=True))

    assert response.WhichOneof("result") == "preview"
    assert response.preview.sample_count == 2
    assert response.preview.claim
    assert response.preview.due_time.ToDatetime(NOW.tzinfo) == NOW.replace(month=12)
    assert not api.application.tickets


def test_a_preview_refuses_what_a_submission_would_refuse(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", "nobody", validate_only=True)))

    assert refusal.reason == "UNKNOWN_SAMPLE_IDS"


def test_unknown_ids_are_named_by_count_and_position_only(api: Api) -> None:
    ids = ["sample-1", *(f"secret-{number}" for number in range(150))]
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", *ids)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SAMPLE_IDS")
    assert refusal.info.metadata["count"] == "150"
    assert refusal.info.metadata["positions"] == ",".join(str(at) for at in range(1, 101))
    assert "secret" not in str(refusal)


def test_repeated_ids_are_named_by_position(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", "sample-1", "sample-2", "sample-1")))

    assert refusal.reason == "DUPLICATE_SAMPLE_IDS"
    assert refusal.info.metadata["positions"] == "2"


def test_an_empty_list_of_ids_is_refused_as_empty(api: Api) -> None:
    request = submission()
    request.samples.inline.Clear()
    request.samples.inline.SetInParent()
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_FORGET_SET")


def test_a_source_that_is_not_served_is_never_taken_for_empty(api: Api) -> None:
    request = submission()
    request.samples.object.CopyFrom(sample_selection_pb2.ObjectReference(uri="s3://b/k"))
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "ID_SOURCE_UNSUPPORTED")


def test_every_wrong_field_is_named_at_once(api: Api) -> None:
    request = submission()
    request.request_id = ""
    request.lineage = "Not A Lineage"
    request.regime = ticket_pb2.REGIME_UNSPECIFIED
    request.ClearField("samples")
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert refusal.fields() == ["request_id", "lineage", "regime", "samples"]


def test_unusable_ids_are_named_by_position_and_not_repeated(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", "sample-1", "", "a\0b", "x" * 257)))

    assert refusal.fields() == [f"samples.inline.sample_ids[{at}]" for at in (1, 2, 3)]
    assert "x" * 257 not in str(refusal)


def test_many_violations_still_fit_into_an_answer(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", *["\0"] * 10_000)))

    assert len(refusal.fields()) == 16


def test_more_inline_ids_than_the_limit_are_refused(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", *(str(n) for n in range(50_001)))))

    assert refusal.fields() == ["samples.inline.sample_ids"]


def test_as_many_inline_ids_as_allowed_are_looked_at(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", *(str(n) for n in range(50_000)))))

    assert (refusal.reason, refusal.info.metadata["count"]) == ("UNKNOWN_SAMPLE_IDS", "50000")


def test_an_unknown_lineage_is_not_found(api: Api) -> None:
    request = submission()
    request.lineage = "another"
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_LINEAGE")
    (resource,) = refusal.all_of(error_details_pb2.ResourceInfo)
    assert resource.resource_name == "another"


def test_forgetting_everything_is_refused(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission("r", *(f"sample-{n}" for n in range(1000)))))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FORGET_SET_TOO_LARGE")
    (precondition,) = refusal.all_of(error_details_pb2.PreconditionFailure)
    assert precondition.violations[0].type == "FORGET_SET_TOO_LARGE"


def test_an_unknown_ticket_is_not_found(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id="tkt-none")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TICKET")


def test_another_tenants_ticket_is_not_found(api: Api) -> None:
    ticket = api.deletion.SubmitTicket(submission()).ticket
    stored = api.application.tickets[ticket.ticket_id]
    api.application.tickets[ticket.ticket_id] = replace(stored, tenant="other")
    refusal = refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id=ticket.ticket_id)))

    assert refusal.reason == "UNKNOWN_TICKET"
    assert not api.deletion.ListTickets(ListTicketsRequest()).tickets


def _submit_many(api: Api, count: int) -> list[str]:
    ids = []
    for number in range(count):
        ids.append(api.deletion.SubmitTicket(submission(f"request-{number}")).ticket.ticket_id)
        if number % 2:
            api.clock.advance(timedelta(seconds=1))
    return ids


def test_pages_hold_every_ticket_once_newest_first(api: Api) -> None:
    ids = _submit_many(api, 7)
    seen = []
    token = ""
    while True:
        page = api.deletion.ListTickets(ListTicketsRequest(page_size=3, page_token=token))
        assert len(page.tickets) <= 3
        seen += [ticket.ticket_id for ticket in page.tickets]
        token = page.next_page_token
        if not token:
            break

    assert seen == ids[::-1]


def test_a_full_last_page_has_no_next_one(api: Api) -> None:
    _submit_many(api, 4)

    assert not api.deletion.ListTickets(ListTicketsRequest(page_size=4)).next_page_token


def test_tickets_are_filtered_by_lineage_and_state(api: Api) -> None:
    first, second = _submit_many(api, 2)
    api.application.change(api.application.tickets[first], TicketEvent.SCHEDULE)
    scheduled = ListTicketsRequest(lineage=LINEAGE, states=[ticket_pb2.TICKET_STATE_SCHEDULED])

    assert [ticket.ticket_id for ticket in api.deletion.ListTickets(scheduled).tickets] == [first]
    assert [ticket.ticket_id for ticket in api.deletion.ListTickets(ListTicketsRequest()).tickets] == [second, first]
    assert not api.deletion.ListTickets(ListTicketsRequest(lineage="another")).tickets


@pytest.mark.parametrize(
    "other",
    [
        ListTicketsRequest(lineage=LINEAGE),
        ListTicketsRequest(states=[ticket_pb2.TICKET_STATE_ACCEPTED]),
    ],
)
def test_a_token_of_other_filters_is_refused(api: Api, other: ListTicketsRequest) -> None:
    _submit_many(api, 3)
    other.page_token = api.deletion.ListTickets(ListTicketsRequest(page_size=1)).next_page_token
    refusal = refusal_of(lambda: api.deletion.ListTickets(other))

    assert (refusal.code, refusal.fields()) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


def test_a_page_size_may_change_between_pages(api: Api) -> None:
    _submit_many(api, 3)
    token = api.deletion.ListTickets(ListTicketsRequest(page_size=1)).next_page_token

    assert len(api.deletion.ListTickets(ListTicketsRequest(page_size=2, page_token=token)).tickets) == 2


def test_a_negative_page_size_is_refused(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.ListTickets(ListTicketsRequest(page_size=-1)))

    assert refusal.fields() == ["page_size"]


def test_an_unknown_state_in_a_filter_is_refused(api: Api) -> None:
    request = ListTicketsRequest(states=[ticket_pb2.TICKET_STATE_ACCEPTED, 99])  # type: ignore[list-item] # on purpose
    refusal = refusal_of(lambda: api.deletion.ListTickets(request))

    assert refusal.fields() == ["states[1]"]


def test_a_waiting_ticket_can_be_cancelled_twice(api: Api) -> None:
    ticket_id = api.deletion.SubmitTicket(submission()).ticket.ticket_id
    request = CancelTicketRequest(request_id="c", ticket_id=ticket_id)
    first = api.deletion.CancelTicket(request).ticket

    assert first.state == ticket_pb2.TICKET_STATE_CANCELLED
    assert first.HasField("close_time")
    assert first.sla_state == ticket_pb2.SLA_STATE_MET
    assert api.deletion.CancelTicket(request).ticket == first


def test_a_ticket_in_a_run_cannot_be_cancelled(api: Api) -> None:
    ticket_id = api.deletion.SubmitTicket(submission()).ticket.ticket_id
    api.application.change(api.application.tickets[ticket_id], TicketEvent.SCHEDULE, TicketEvent.START)
    refusal = refusal_of(lambda: api.deletion.CancelTicket(CancelTicketRequest(request_id="c", ticket_id=ticket_id)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TICKET_NOT_CANCELLABLE")
    (precondition,) = refusal.all_of(error_details_pb2.PreconditionFailure)
    assert precondition.violations[0].subject == ticket_id


def test_a_write_with_an_old_etag_is_refused(api: Api) -> None:
    read = api.deletion.SubmitTicket(submission()).ticket
    api.application.change(api.application.tickets[read.ticket_id], TicketEvent.SCHEDULE)
    request = CancelTicketRequest(request_id="c", ticket_id=read.ticket_id, etag=read.etag)
    refusal = refusal_of(lambda: api.deletion.CancelTicket(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert api.application.tickets[read.ticket_id].is_open


def test_a_write_with_the_present_etag_is_done(api: Api) -> None:
    read = api.deletion.SubmitTicket(submission()).ticket
    request = CancelTicketRequest(request_id="c", ticket_id=read.ticket_id, etag=read.etag)

    assert api.deletion.CancelTicket(request).ticket.state == ticket_pb2.TICKET_STATE_CANCELLED


def test_a_write_without_a_request_id_is_refused(api: Api) -> None:
    ticket_id = api.deletion.SubmitTicket(submission()).ticket.ticket_id
    refusal = refusal_of(lambda: api.deletion.CancelTicket(CancelTicketRequest(ticket_id=ticket_id)))

    assert refusal.fields() == ["request_id"]
