"""How a caller reads what went wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as it arrived."""

    code: grpc.StatusCode
    message: str
    details: tuple[Message, ...]

    @property
    def info(self) -> Any:
        """Return the one ErrorInfo."""
        (info,) = self.all_of(error_details_pb2.ErrorInfo)
        return info

    @property
    def reason(self) -> str:
        return str(self.info.reason)

    def all_of(self, kind: type[Any]) -> list[Any]:
        return [detail for detail in self.details if isinstance(detail, kind)]

    def fields(self) -> list[str]:
        """Return the fields that a BadRequest names."""
        (bad,) = self.all_of(error_details_pb2.BadRequest)
        return [violation.field for violation in bad.field_violations]


KINDS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.ResourceInfo,
    error_details_pb2.PreconditionFailure,
)


def refusal_of(call: Callable[[], object]) -> Refusal:
    """Return how a call was refused; it must have been."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return read_refusal(raised.value)


def read_refusal(error: Any) -> Refusal:
    status = rpc_status.from_call(error)
    details = [] if status is None else [_unpack(packed) for packed in status.details]
    return Refusal(code=error.code(), message=error.details(), details=tuple(details))


def _unpack(packed: Any) -> Message:
    for kind in KINDS:
        if packed.Is(kind.DESCRIPTOR):
            message: Message = kind()
            packed.Unpack(message)
            return message
    raise AssertionError(f"unexpected detail {packed.type_url}")


def raw_unary(channel: grpc.Channel, path: str) -> Any:
    """Return a method that takes and gives bytes."""
    method: Any = channel.unary_unary(path)
    return method


def raw_stream(channel: grpc.Channel, path: str) -> Any:
    """Return a server-stream method that takes and gives bytes."""
    method: Any = channel.unary_stream(path)
    return method
