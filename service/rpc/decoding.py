"""Requests that are no protobuf message are the caller's fault: INVALID_ARGUMENT, not INTERNAL as gRPC has it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.errors import FieldViolation, InvalidRequestError
from service.rpc.handlers import Behavior, Handler, behavior_of, replace_behavior


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for bytes that are no message, until a place is reached where they can be refused."""


class DecodingInterceptor(grpc.ServerInterceptor):
    """Refuses requests that cannot be decoded; stands innermost, so that everything else sees the refusal."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the method's handler with a reader of requests that does not raise."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        behavior = behavior_of(handler)
        refusing = _refuse_in_stream(behavior) if handler.request_streaming else _refuse(behavior)
        return replace_behavior(handler, refusing, deserializer=_tolerant(handler.request_deserializer))


def _tolerant(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            return Undecodable()

    return read


def _refuse(behavior: Behavior) -> Behavior:
    def checked(request: Any, context: grpc.ServicerContext) -> Any:
        return behavior(_decoded(request), context)

    return checked


def _refuse_in_stream(behavior: Behavior) -> Behavior:
    def messages(requests: Iterable[Any]) -> Iterator[Any]:
        for request in requests:
            yield _decoded(request)

    def checked(requests: Iterable[Any], context: grpc.ServicerContext) -> Any:
        return behavior(messages(requests), context)

    return checked


def _decoded(request: Any) -> Any:
    if isinstance(request, Undecodable):
        raise InvalidRequestError(FieldViolation(field="", description="the bytes are no message of this method"))
    return request
