"""Whatever a caller sends, it is never our fault: no request makes the server answer INTERNAL or UNKNOWN."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.run import RunPhase
from service.rpc.server import SERVED
from tests.contract.rpc.answers import raw_stream, raw_unary
from tests.contract.rpc.conftest import Api, submission
from tests.contract.rpc.records import LINEAGE, a_run

OUR_FAULT = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
TIMEOUT_SECONDS = 0.3
"""A watch that is rightly open ends by its deadline."""

METHODS = [method for service in SERVED for method in service.methods if not method.client_streaming]

text = st.one_of(
    st.sampled_from(["", LINEAGE, "tkt-0001", "run-1", "request-1", "sample-1", "a" * 64, "0" * 64, "preresnet20"]),
    st.text(max_size=300),
)
scalars: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: text,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=50),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats()),
    FieldDescriptor.TYPE_INT32: st.one_of(st.integers(-2, 40), st.integers(-(2**31), 2**31 - 1)),
    FieldDescriptor.TYPE_INT64: st.one_of(st.integers(-2, 40), st.integers(-(2**63), 2**63 - 1)),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 12),
}


def messages(descriptor: Descriptor) -> st.SearchStrategy[Any]:
    """Generate messages of a type, with any subset of their fields."""
    kind = message_factory.GetMessageClass(descriptor)
    values = {field.name: _values(field) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=values).map(lambda given_values: kind(**given_values))


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type)
    one = scalars[field.type]
    return st.lists(one, max_size=5) if field.is_repeated else one


def _code(call: Callable[[], Any]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def _send(api: Api, method: MethodDescriptor, data: bytes) -> grpc.StatusCode:
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming:
        return _code(lambda: list(raw_stream(api.channel, path)(data, timeout=TIMEOUT_SECONDS)))
    return _code(lambda: raw_unary(api.channel, path)(data, timeout=10.0))


@pytest.fixture
def populated(api: Api) -> Api:
    api.deletion.SubmitTicket(submission())
    api.application.runs["run-1"] = a_run(phase=RunPhase.COMMITTED)
    return api


fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@fuzz
@given(data=st.data())
def test_no_message_is_our_fault(populated: Api, method: MethodDescriptor, data: st.DataObject) -> None:
    message = data.draw(messages(method.input_type))

    assert _send(populated, method, message.SerializeToString()) not in OUR_FAULT


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@fuzz
@given(data=st.binary(max_size=200))
def test_no_bytes_are_our_fault(populated: Api, method: MethodDescriptor, data: bytes) -> None:
    assert _send(populated, method, data) not in OUR_FAULT
