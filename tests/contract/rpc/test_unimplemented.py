"""Every method of the contract is served; methods that nobody knows are not."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from service.rpc.server import SERVED
from tests.contract.rpc.answers import Refusal, raw_unary, refusal_of
from tests.contract.rpc.conftest import Api


def _methods() -> Iterator[MethodDescriptor]:
    for service in SERVED:
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


def test_the_contract_has_every_method_of_the_design() -> None:
    names = {service.name: len(service.methods) for service in SERVED}

    assert names == {
        "DeletionService": 8,
        "HoldService": 3,
        "ModelService": 7,
        "RunService": 5,
        "LedgerService": 2,
    }


@pytest.mark.parametrize("method", list(_methods()), ids=lambda method: method.full_name)
def test_every_method_of_the_contract_is_served(api: Api, method: MethodDescriptor) -> None:
    try:
        code = _call(api, method).code
    except pytest.fail.Exception:  # an empty request was fine
        return
    assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def test_a_method_that_nobody_knows_is_unimplemented(api: Api) -> None:
    method = raw_unary(api.channel, "/unlearning.v1.DeletionService/Nonsense")

    assert refusal_of(lambda: method(b"")).code is grpc.StatusCode.UNIMPLEMENTED
