"""Extensions of tickets."""

from collections.abc import Iterator
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from service.domain.extension import ExtensionRequest, Pause
from service.errors import FieldViolation
from service.pb.unlearning.v1 import deletion_service_pb2
from service.rpc.validation import check_request_id, check_text, refuse_if_any

MAX_REASON_CHARACTERS = 1000
_MAX_KEY_CHARACTERS = 128


def extension_request(request: deletion_service_pb2.ExtendTicketRequest) -> ExtensionRequest:
    """Return what is asked for.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    refuse_if_any(
        check_text("ticket_id", request.ticket_id, _MAX_KEY_CHARACTERS),
        check_request_id(request.request_id),
        check_text("reason", request.reason, MAX_REASON_CHARACTERS),
        _check_either(request),
    )
    if not request.HasField("pause"):
        return ExtensionRequest(request_id=request.request_id, reason=request.reason, due_at=_time(request.due_time))
    pause = Pause(start=_time(request.pause.start_time), end=_time(request.pause.end_time))
    return ExtensionRequest(request_id=request.request_id, reason=request.reason, pause=pause)


def _check_either(request: deletion_service_pb2.ExtendTicketRequest) -> Iterator[FieldViolation]:
    if request.HasField("pause") == request.HasField("due_time"):
        yield FieldViolation(field="due_time", description="either it or pause must be set")
        return
    given = {"due_time": request.due_time}
    if request.HasField("pause"):
        given = {"pause.start_time": request.pause.start_time, "pause.end_time": request.pause.end_time}
    for field, value in given.items():
        if not _is_time(value):
            yield FieldViolation(field=field, description="must be a time of the years 1 to 9998")


def _is_time(value: Timestamp) -> bool:
    try:
        return _time(value).year < 9999  # room for a pause
    except (ValueError, OverflowError):
        return False


def _time(value: Timestamp) -> datetime:
    return value.ToDatetime(UTC)
