"""What the server counts of its calls."""

import time

import grpc
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.domain.ticket import TicketEvent
from service.pb.unlearning.v1.deletion_service_pb2 import GetTicketRequest, WatchTicketRequest
from tests.contract.rpc.answers import raw_unary, refusal_of
from tests.contract.rpc.conftest import Api, submission

SERVICE = "unlearning.v1.DeletionService"


def _value(api: Api, name: str, method: str, **labels: str) -> float | None:
    text = generate_latest(api.registry).decode()
    wanted = {"grpc_service": SERVICE, "grpc_method": method, **labels}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and wanted.items() <= sample.labels.items():
                return sample.value
    return None


def _settled(api: Api, name: str, method: str, **labels: str) -> float | None:
    """Return a value once it is not 0: a call is counted at its very end, perhaps after it was answered."""
    deadline = time.monotonic() + 5.0
    while not _value(api, name, method, **labels) and time.monotonic() < deadline:
        time.sleep(0.01)
    return _value(api, name, method, **labels)


def test_every_method_begins_at_zero(api: Api) -> None:
    assert _value(api, "grpc_server_started_total", "UploadSampleIds", grpc_type="client_stream") == 0.0
    assert _value(api, "grpc_server_handled_total", "WatchTicket", grpc_code="INTERNAL") == 0.0
    assert _value(api, "grpc_server_handling_seconds_count", "GetTicket", grpc_type="unary") == 0.0


def test_a_served_call_is_counted_and_timed(api: Api) -> None:
    api.deletion.SubmitTicket(submission())

    assert _settled(api, "grpc_server_handled_total", "SubmitTicket", grpc_type="unary", grpc_code="OK") == 1.0
    assert _value(api, "grpc_server_started_total", "SubmitTicket") == 1.0
    assert _value(api, "grpc_server_handling_seconds_count", "SubmitTicket") == 1.0


def test_a_refused_call_is_counted_with_its_code(api: Api) -> None:
    refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id="none")))
    by_object = submission()
    by_object.samples.object.SetInParent()
    refusal_of(lambda: api.deletion.SubmitTicket(by_object))

    assert _settled(api, "grpc_server_handled_total", "GetTicket", grpc_code="NOT_FOUND") == 1.0
    assert _settled(api, "grpc_server_handled_total", "SubmitTicket", grpc_code="UNIMPLEMENTED") == 1.0


def test_a_fault_of_our_own_is_counted_as_internal(api: Api) -> None:
    api.application.fault = RuntimeError("broken")
    assert refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id="t"))).code is grpc.StatusCode.INTERNAL

    assert _settled(api, "grpc_server_handled_total", "GetTicket", grpc_code="INTERNAL") == 1.0


def test_a_stream_is_counted_when_it_ends(api: Api) -> None:
    ticket_id = api.deletion.SubmitTicket(submission()).ticket.ticket_id
    watch = api.deletion.WatchTicket(WatchTicketRequest(ticket_id=ticket_id))
    next(watch)
    assert _value(api, "grpc_server_started_total", "WatchTicket", grpc_type="server_stream") == 1.0
    assert _value(api, "grpc_server_handled_total", "WatchTicket", grpc_code="OK") == 0.0
    api.application.change(api.application.tickets[ticket_id], TicketEvent.CANCEL)
    list(watch)

    assert _settled(api, "grpc_server_handled_total", "WatchTicket", grpc_code="OK") == 1.0


def test_a_caller_who_leaves_is_counted_as_cancelled(api: Api) -> None:
    ticket_id = api.deletion.SubmitTicket(submission()).ticket.ticket_id
    watch = api.deletion.WatchTicket(WatchTicketRequest(ticket_id=ticket_id))
    next(watch)
    watch.cancel()

    assert _settled(api, "grpc_server_handled_total", "WatchTicket", grpc_code="CANCELLED") == 1.0


def test_a_caller_whose_deadline_passed_is_counted_as_such(api: Api) -> None:
    ticket_id = api.deletion.SubmitTicket(submission()).ticket.ticket_id
    refusal = refusal_of(lambda: list(api.deletion.WatchTicket(WatchTicketRequest(ticket_id=ticket_id), timeout=0.3)))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED

    assert _settled(api, "grpc_server_handled_total", "WatchTicket", grpc_code="DEADLINE_EXCEEDED") == 1.0


def test_a_method_that_nobody_knows_makes_no_series(api: Api) -> None:
    refusal_of(lambda: raw_unary(api.channel, f"/{SERVICE}/Nonsense")(b""))

    assert _value(api, "grpc_server_started_total", "Nonsense") is None
