"""Methods of the contract that this version does not serve, and methods that nobody knows."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from service.rpc.server import SERVED, UNSERVED
from tests.contract.rpc.answers import Refusal, raw_unary, refusal_of
from tests.contract.rpc.conftest import Api

SERVED_METHODS = {
    "SubmitTicket",
    "GetTicket",
    "ListTickets",
    "WatchTicket",
    "CancelTicket",
    "GetReceipt",
    "RegisterModel",
    "GetModel",
    "ListReleases",
    "GetReport",
    "GetRun",
    "ExtendTicket",
    "UploadSampleIds",
    "ListEntries",
    "GetCheckpoint",
}


def _methods() -> Iterator[MethodDescriptor]:
    for service in (*SERVED, *UNSERVED):
        yield from service.methods


def _call(api: Api, method: MethodDescriptor) -> Refusal:
    path = f"/{method.containing_service.full_name}/{method.name}"
    request: Any = message_factory.GetMessageClass(method.input_type)()
    answer = message_factory.GetMessageClass(method.output_type).FromString
    write = request.__class__.SerializeToString
    if method.client_streaming:
        return refusal_of(lambda: api.channel.stream_unary(path, write, answer)(iter([request])))
    if method.server_streaming:
        return refusal_of(lambda: list(api.channel.unary_stream(path, write, answer)(request)))
    return refusal_of(lambda: api.channel.unary_unary(path, write, answer)(request))


UNSERVED_METHODS = [method for method in _methods() if method.name not in SERVED_METHODS]


def test_the_contract_has_every_method_of_the_design() -> None:
    names = {service.name: len(service.methods) for service in (*SERVED, *UNSERVED)}

    assert names == {
        "DeletionService": 8,
        "HoldService": 3,
        "ModelService": 7,
        "RunService": 5,
        "LedgerService": 2,
    }


@pytest.mark.parametrize("method", UNSERVED_METHODS, ids=lambda method: method.full_name)
def test_a_method_that_is_not_served_says_so(api: Api, method: MethodDescriptor) -> None:
    refusal = _call(api, method)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_IMPLEMENTED")


def test_a_method_that_is_served_does_not_say_so(api: Api) -> None:
    for method in _methods():
        if method.name in SERVED_METHODS:
            code = None
            try:
                code = _call(api, method).code
            except pytest.fail.Exception:  # an empty request was fine
                continue
            assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def test_a_method_that_nobody_knows_is_unimplemented(api: Api) -> None:
    method = raw_unary(api.channel, "/unlearning.v1.DeletionService/Nonsense")

    assert refusal_of(lambda: method(b"")).code is grpc.StatusCode.UNIMPLEMENTED
