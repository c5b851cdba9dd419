"""What is put around calls: see `interceptors` for the order."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog
from grpc_status import rpc_status

from service.errors import ServiceError
from service.rpc.identity import authenticate
from service.rpc.interceptors import Around, Call
from service.rpc.status import internal_status, method_not_implemented_status, status_of
from service.telemetry import Metrics

CORRELATION_HEADER = "x-request-id"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_QUIET_SERVICES = frozenset({"grpc.health.v1.Health"})
"""Called every few seconds by machines: not worth a line."""

_log = structlog.get_logger()


@contextmanager
def correlate(call: Call, context: grpc.ServicerContext) -> Iterator[None]:
    """Give the call an id that the answer's headers and every log line carry, and log its end."""
    correlation_id = _correlation_id(context)
    structlog.contextvars.bind_contextvars(request_id=correlation_id)
    context.send_initial_metadata(((CORRELATION_HEADER, correlation_id),))
    began = time.monotonic()
    failed = True
    try:
        yield
        failed = False
    finally:
        if call.service not in _QUIET_SERVICES:
            code = final_code(context, failed=failed).name
            seconds = round(time.monotonic() - began, 6)
            _log.info("call ended", service=call.service, method=call.method, code=code, seconds=seconds)
        structlog.contextvars.unbind_contextvars("request_id")


def measure(metrics: Metrics) -> Around:
    """Return what counts calls and takes their time."""

    @contextmanager
    def around(call: Call, context: grpc.ServicerContext) -> Iterator[None]:
        metrics.call_started(call.kind.value, call.service, call.method)
        began = time.monotonic()
        failed = True
        try:
            yield
            failed = False
        finally:
            code = final_code(context, failed=failed).name
            seconds = time.monotonic() - began
            metrics.call_handled(call.kind.value, call.service, call.method, code=code, seconds=seconds)

    return around


@contextmanager
def answer_errors(call: Call, context: grpc.ServicerContext) -> Iterator[None]:
    """Answer errors with their status; a fault of our own says nothing outside and everything in the log."""
    try:
        yield
    except grpc.RpcError:
        raise  # the caller went away while its stream was read: nobody is left to answer
    except ServiceError as error:
        context.abort_with_status(rpc_status.to_status(status_of(error)))
    except Exception as error:
        # This is the outermost place: nothing else may answer for us.
        if isinstance(error, NotImplementedError) and _code(context) is grpc.StatusCode.UNIMPLEMENTED:
            # How a generated servicer says that a method was not overridden.
            context.abort_with_status(rpc_status.to_status(method_not_implemented_status()))
        if _was_aborted(error, context):
            raise
        _log.error("call failed", service=call.service, method=call.method, exc_info=error)
        context.abort_with_status(rpc_status.to_status(internal_status()))


@contextmanager
def require_identity(_call: Call, context: grpc.ServicerContext) -> Iterator[None]:
    """Find out who is calling before anything else is looked at."""
    identity = authenticate(context)
    with structlog.contextvars.bound_contextvars(tenant=identity.tenant, actor=identity.actor):
        yield


def final_code(context: grpc.ServicerContext, *, failed: bool) -> grpc.StatusCode:
    """Return the status with which a call ends, at its very end."""
    code = _code(context)
    if code is not None:
        return code
    if not context.is_active():
        left = context.time_remaining()
        return grpc.StatusCode.CANCELLED if left is None or left > 0.0 else grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.UNKNOWN if failed else grpc.StatusCode.OK


def _code(context: grpc.ServicerContext) -> grpc.StatusCode | None:
    code: grpc.StatusCode | None = context.code()  # type: ignore[attr-defined] # missing in the stubs
    return code


def _was_aborted(error: Exception, context: grpc.ServicerContext) -> bool:
    """Return whether somebody further inside has answered: gRPC's `abort` raises a bare Exception."""
    return type(error) is Exception and not error.args and _code(context) is not None


def _correlation_id(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == CORRELATION_HEADER and isinstance(value, str) and _CORRELATION_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex
