"""The four kinds of gRPC methods, so that whatever surrounds a call is written once."""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic in its stubs only
Behavior = Callable[[Any, grpc.ServicerContext], Any]
"""(request or its stream, context) to a response or an iterator of them: what the kind says."""


class CallKind(StrEnum):
    """What is a stream, as the metrics call it."""

    UNARY = "unary"
    CLIENT_STREAM = "client_stream"
    SERVER_STREAM = "server_stream"
    BIDI_STREAM = "bidi_stream"


def kind_of(*, request_streaming: bool, response_streaming: bool) -> CallKind:
    """Return a method's kind."""
    if request_streaming:
        return CallKind.BIDI_STREAM if response_streaming else CallKind.CLIENT_STREAM
    return CallKind.SERVER_STREAM if response_streaming else CallKind.UNARY


def behavior_of(handler: Handler) -> Behavior:
    """Return the function that serves a method."""
    behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if behavior is None:
        raise RuntimeError("a method handler without a behavior")
    return behavior


def replace_behavior(
    handler: Handler, behavior: Behavior, *, deserializer: Callable[[bytes], Any] | None = None
) -> Handler:
    """Return the handler with another behavior and, where given, another reader of requests."""
    make: Callable[..., Handler]
    match kind_of(request_streaming=handler.request_streaming, response_streaming=handler.response_streaming):
        case CallKind.UNARY:
            make = grpc.unary_unary_rpc_method_handler
        case CallKind.SERVER_STREAM:
            make = grpc.unary_stream_rpc_method_handler
        case CallKind.CLIENT_STREAM:
            make = grpc.stream_unary_rpc_method_handler
        case CallKind.BIDI_STREAM:
            make = grpc.stream_stream_rpc_method_handler
    return make(behavior, deserializer or handler.request_deserializer, handler.response_serializer)
