"""How every kind of error reaches a caller."""

import logging
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed

from service.errors import (
    FieldViolation,
    InvalidRequestError,
    ServiceError,
    TemporaryError,
    UnknownSampleIdsError,
)
from service.pb.unlearning.v1.deletion_service_pb2 import GetReceiptRequest, GetTicketRequest, WatchTicketRequest
from service.rpc import identity
from service.rpc.status import ERROR_DOMAIN, ERROR_TABLE
from tests.contract.rpc.answers import Refusal, raw_stream, raw_unary, read_refusal, refusal_of
from tests.contract.rpc.conftest import Api

SECRET = "sample-of-a-person"


def _instance(kind: type[ServiceError]) -> ServiceError:
    if issubclass(kind, InvalidRequestError):
        return kind(FieldViolation(field="f", description="is wrong"))
    if issubclass(kind, UnknownSampleIdsError):
        return kind("some are wrong", positions=(3, 5))
    return kind("something is wrong", key="k")


def _refusal(api: Api, fault: Exception) -> Refusal:
    api.application.fault = fault
    return refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id="t")))


@pytest.mark.parametrize("kind", list(ERROR_TABLE), ids=lambda kind: kind.__name__)
def test_every_error_arrives_with_its_code_and_one_reason(api: Api, kind: type[ServiceError]) -> None:
    refusal = _refusal(api, _instance(kind))
    code, reason = ERROR_TABLE[kind]

    assert (refusal.code, refusal.reason, refusal.info.domain) == (code, reason, ERROR_DOMAIN)
    assert bool(refusal.all_of(error_details_pb2.RetryInfo)) == issubclass(kind, TemporaryError)
    assert bool(refusal.all_of(error_details_pb2.BadRequest)) == issubclass(kind, InvalidRequestError)


def test_metadata_for_machines_reaches_the_caller(api: Api) -> None:
    assert _refusal(api, _instance(next(iter(ERROR_TABLE)))).info.metadata["key"] == "k"


def test_a_long_error_still_reaches_the_caller(api: Api) -> None:
    violations = [FieldViolation(field="f" * 60, description="ü" * 100) for _ in range(500)]
    refusal = _refusal(api, InvalidRequestError(*violations))

    assert refusal.reason == "INVALID_REQUEST"
    assert 0 < len(refusal.fields()) < 500


@pytest.fixture
def captured_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.parametrize(
    "fault", [KeyError(SECRET), RuntimeError(SECRET), NotImplementedError(SECRET), Exception(), ServiceError(SECRET)]
)
def test_anything_else_is_internal_and_says_nothing(
    api: Api, fault: Exception, captured_logs: pytest.LogCaptureFixture
) -> None:
    refusal = _refusal(api, fault)

    assert refusal.code is grpc.StatusCode.INTERNAL
    assert not refusal.details
    assert SECRET not in refusal.message
    assert SECRET not in captured_logs.text


def test_every_answer_carries_the_callers_correlation_id(api: Api) -> None:
    for fault in (None, _instance(next(iter(ERROR_TABLE)))):
        api.application.fault = fault
        call = api.deletion.GetTicket.future(GetTicketRequest(ticket_id="t"), metadata=(("x-request-id", "mine-1"),))

        assert dict(call.initial_metadata())["x-request-id"] == "mine-1"


def test_an_unusable_correlation_id_is_replaced(api: Api) -> None:
    call = api.deletion.GetTicket.future(GetTicketRequest(ticket_id="t"), metadata=(("x-request-id", "a b"),))
    header = dict(call.initial_metadata())["x-request-id"]

    assert header != "a b"
    assert len(header) == 32


def test_bytes_that_are_no_message_are_the_callers_fault(api: Api) -> None:
    method = raw_unary(api.channel, "/unlearning.v1.DeletionService/GetTicket")
    refusal = refusal_of(lambda: method(b"\xff\xff\xff\xff"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


def test_bytes_that_are_no_message_in_a_watch_are_the_callers_fault(api: Api) -> None:
    method = raw_stream(api.channel, "/unlearning.v1.DeletionService/WatchTicket")
    with pytest.raises(grpc.RpcError) as raised:
        list(method(b"\xff\xff\xff\xff"))

    assert read_refusal(raised.value).code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stranger_is_told_nothing_but_that(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_LOCAL_PEERS", ("unix:",))
    refusals = [
        refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id="none"))),
        refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest())),
        refusal_of(lambda: api.deletion.GetReceipt(GetReceiptRequest())),
        refusal_of(lambda: list(api.deletion.WatchTicket(WatchTicketRequest(ticket_id="none")))),
    ]

    assert {(refusal.code, refusal.reason) for refusal in refusals} == {
        (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    }
