"""What surrounds every call, outermost first: correlation and its log line, metrics, errors, authentication, decoding.

Authentication stands inside errors and metrics, so that a refusal is answered, counted and logged like any other; still
nothing of the service runs before it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc

from service.rpc.handlers import Behavior, CallKind, Handler, behavior_of, kind_of, replace_behavior


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Which method is called."""

    kind: CallKind
    service: str
    method: str


Around = Callable[[Call, grpc.ServicerContext], AbstractContextManager[None]]
"""Something that begins before a call and ends after it; of a stream, after its last message."""


class CallInterceptor(grpc.ServerInterceptor):
    """Puts a context manager around every call."""

    def __init__(self, around: Around) -> None:
        self._around = around

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the method's handler, surrounded; an unknown method stays unknown."""
        handler = continuation(handler_call_details)
        if handler is None:
            return handler
        _, service, method = handler_call_details.method.split("/", 2)
        kind = kind_of(request_streaming=handler.request_streaming, response_streaming=handler.response_streaming)
        call = Call(kind=kind, service=service, method=method)
        return replace_behavior(handler, _surround(behavior_of(handler), call, self._around))


def _surround(behavior: Behavior, call: Call, around: Around) -> Behavior:
    def respond(request: Any, context: grpc.ServicerContext) -> Any:
        with around(call, context):
            return behavior(request, context)

    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with around(call, context):
            yield from behavior(request, context)

    return stream if call.kind in {CallKind.SERVER_STREAM, CallKind.BIDI_STREAM} else respond
