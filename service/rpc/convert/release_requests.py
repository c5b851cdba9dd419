"""Requests about releases to domain values; what breaks the contract is refused here, with each field that is wrong."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from service.domain.deployment import DeploymentNotice
from service.errors import FieldViolation
from service.pb.unlearning.v1 import model_service_pb2
from service.rpc.validation import check_lineage, check_request_id, check_sha256, check_text, refuse_if_any

MAX_DEPLOYMENT_CHARACTERS = 128
MAX_RELEASE_NUMBER = 2**31 - 1
"""What the store keeps."""


def release(request: model_service_pb2.GetReleaseRequest) -> tuple[str, int]:
    """Return lineage and number of the release that is meant.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    is_number = 0 <= request.release_number <= MAX_RELEASE_NUMBER
    wrong = FieldViolation(field="release_number", description="must be 0 (the current one) or a release's number")
    refuse_if_any(check_lineage(request.lineage), [] if is_number else [wrong])
    return request.lineage, request.release_number


def serving_subject(request: model_service_pb2.CheckLineageRequest) -> tuple[int | None, str | None]:
    """Return which release, or which weights, are asked about.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    match request.WhichOneof("subject"):
        case "release_number":
            is_number = 1 <= request.release_number <= MAX_RELEASE_NUMBER
            wrong = FieldViolation(field="release_number", description="must be a release's number, from 1")
            refuse_if_any(check_lineage(request.lineage), [] if is_number else [wrong])
            return request.release_number, None
        case "weights_sha256":
            refuse_if_any(check_lineage(request.lineage), check_sha256("weights_sha256", request.weights_sha256))
            return None, request.weights_sha256
        case _:
            missing = FieldViolation(field="subject", description="must name a release or weights")
            refuse_if_any(check_lineage(request.lineage), [missing])
            raise RuntimeError("a request without a subject was let through")


def deployment_notice(request: model_service_pb2.AcknowledgeDeploymentRequest) -> DeploymentNotice:
    """Return what a serving system says that it runs.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    since = _time(request.deploy_time) if request.HasField("deploy_time") else None
    missing = FieldViolation(field="deploy_time", description="must be a time")
    refuse_if_any(
        check_request_id(request.request_id),
        check_lineage(request.lineage),
        check_sha256("weights_sha256", request.weights_sha256),
        check_text("deployment", request.deployment, MAX_DEPLOYMENT_CHARACTERS),
        [] if since else [missing],
    )
    if since is None:
        raise RuntimeError("a request without a time was let through")
    return DeploymentNotice(
        request_id=request.request_id,
        weights_digest=request.weights_sha256,
        name=request.deployment,
        deployed_at=since,
    )


def _time(message: Timestamp) -> datetime | None:
    """Return a time to the microsecond, `None` where no calendar has it."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
