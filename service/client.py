"""A connection to the service for Python: typed stubs, and errors as exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the package has no py.typed
from grpc_status import rpc_status

from service.pb.unlearning.v1.deletion_service_pb2_grpc import DeletionServiceStub
from service.pb.unlearning.v1.hold_service_pb2_grpc import HoldServiceStub
from service.pb.unlearning.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.pb.unlearning.v1.model_service_pb2_grpc import ModelServiceStub
from service.pb.unlearning.v1.run_service_pb2_grpc import RunServiceStub

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Reports and requests may be larger than gRPC's default of 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Stubs of the services over one channel."""

    deletion: DeletionServiceStub
    holds: HoldServiceStub
    models: ModelServiceStub
    runs: RunServiceStub
    ledger: LedgerServiceStub


@dataclass
class ApiError(Exception):
    """The service refused a call or could not be reached.

    Attributes:
        code: gRPC status, such as `NOT_FOUND`.
        reason: machine-readable reason, such as `UNKNOWN_LINEAGE`; empty where there was no service to give one.
        message: for people.
        details: further facts, such as the positions of unknown ids or the fields that are wrong.
    """

    code: str
    reason: str
    message: str
    details: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """Open a connection; calls on it raise `ApiError` where the service answers with an error.

    Args:
        address: `host:port`.
    """
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            yield Client(
                deletion=DeletionServiceStub(channel),
                holds=HoldServiceStub(channel),
                models=ModelServiceStub(channel),
                runs=RunServiceStub(channel),
                ledger=LedgerServiceStub(channel),
            )
        except grpc.RpcError as error:
            raise api_error(error, address) from error


def api_error(error: grpc.RpcError, address: str) -> ApiError:
    """Return what the service said, read from the details of its status."""
    code = error.code()
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    if code is grpc.StatusCode.UNAVAILABLE and status is None:  # nobody was there to say more
        text = f"no service answers at {address}: start it with `unlearn serve`, or say where it is with --address"
        return ApiError(code=code.name, reason="", message=text)
    reason = ""
    details: dict[str, str] = {}
    packed: list[any_pb2.Any] = [] if status is None else list(status.details)
    for detail in packed:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, details = info.reason, {**details, **info.metadata}
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest()
            detail.Unpack(request)
            details |= {violation.field: violation.description for violation in request.field_violations}
    return ApiError(code=code.name, reason=reason, message=error.details() or code.name, details=details)
