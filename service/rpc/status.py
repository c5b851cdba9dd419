"""Errors as callers see them: `google.rpc.Status` with one ErrorInfo and what else fits (AIP-193)."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped] # it ships stubs, but no py.typed
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    ResourceInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # as above

from service import errors
from service.rpc import errors as rpc_errors

ERROR_DOMAIN = "unlearning.v1"
"""Domain of every ErrorInfo."""

_MAX_MESSAGE_BYTES = 512
_MAX_METADATA_BYTES = 600
_MAX_VIOLATIONS_BYTES = 2000
_MAX_POSITIONS = 100
"""Bounds that keep an answer under 8 KiB, encoded: gRPC clients refuse more (up to 16 KiB at random)."""

Row = tuple[grpc.StatusCode, str]

ERROR_TABLE: Mapping[type[errors.ServiceError], Row] = MappingProxyType(
    {
        errors.StoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
        errors.ObjectStoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, "OBJECT_STORE_UNAVAILABLE"),
        errors.StaleVersionError: (grpc.StatusCode.ABORTED, "CONCURRENT_CHANGE"),
        errors.ActiveRunError: (grpc.StatusCode.ABORTED, "ACTIVE_RUN"),
        errors.ServerOverloadedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_OVERLOADED"),
        errors.InvalidRequestError: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        errors.RequestIdReusedError: (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        errors.UnknownLineageError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_LINEAGE"),
        errors.LineageExistsError: (grpc.StatusCode.ALREADY_EXISTS, "LINEAGE_EXISTS"),
        errors.UnknownTicketError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TICKET"),
        errors.UnknownRunError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_RUN"),
        errors.UnknownHoldError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_HOLD"),
        errors.UnknownReportError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_REPORT"),
        errors.UnknownCheckpointError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CHECKPOINT"),
        errors.UnknownSampleIdsError: (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SAMPLE_IDS"),
        errors.DuplicateSampleIdsError: (grpc.StatusCode.INVALID_ARGUMENT, "DUPLICATE_SAMPLE_IDS"),
        errors.ForgottenSampleIdsError: (grpc.StatusCode.FAILED_PRECONDITION, "FORGOTTEN_SAMPLE_IDS"),
        errors.HoldActiveError: (grpc.StatusCode.FAILED_PRECONDITION, "HOLD_ACTIVE"),
        errors.EmptyForgetSetError: (grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_FORGET_SET"),
        errors.ForgetSetTooLargeError: (grpc.StatusCode.FAILED_PRECONDITION, "FORGET_SET_TOO_LARGE"),
        errors.TicketNotCancellableError: (grpc.StatusCode.FAILED_PRECONDITION, "TICKET_NOT_CANCELLABLE"),
        errors.UnknownReleaseError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_RELEASE"),
        errors.UnknownWeightsError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_WEIGHTS"),
        errors.ResurrectsForgottenSamplesError: (grpc.StatusCode.FAILED_PRECONDITION, "RESURRECTS_FORGOTTEN_SAMPLES"),
        errors.RunNotRetryableError: (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_RETRYABLE"),
        errors.RunNotEscalatableError: (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ESCALATABLE"),
        errors.UnknownSubjectIdsError: (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SUBJECT_IDS"),
        errors.UnknownUploadError: (grpc.StatusCode.NOT_FOUND, "UNKNOWN_UPLOAD"),
        errors.UploadIncompleteError: (grpc.StatusCode.INVALID_ARGUMENT, "UPLOAD_INCOMPLETE"),
        errors.TicketNotExtendableError: (grpc.StatusCode.FAILED_PRECONDITION, "TICKET_NOT_EXTENDABLE"),
        errors.ExtensionNotAllowedError: (grpc.StatusCode.FAILED_PRECONDITION, "EXTENSION_NOT_ALLOWED"),
        errors.ManifestError: (grpc.StatusCode.FAILED_PRECONDITION, "MANIFEST_UNUSABLE"),
        errors.ManifestDigestMismatchError: (grpc.StatusCode.FAILED_PRECONDITION, "MANIFEST_DIGEST_MISMATCH"),
        errors.WeightsError: (grpc.StatusCode.FAILED_PRECONDITION, "WEIGHTS_UNUSABLE"),
        errors.DigestMismatchError: (grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH"),
        errors.ObjectMissingError: (grpc.StatusCode.FAILED_PRECONDITION, "OBJECT_MISSING"),
        errors.ObjectExistsError: (grpc.StatusCode.ALREADY_EXISTS, "OBJECT_EXISTS"),
        errors.PointerMovedError: (grpc.StatusCode.ABORTED, "POINTER_MOVED"),
        errors.UnsafeObjectStoreError: (grpc.StatusCode.FAILED_PRECONDITION, "UNSAFE_OBJECT_STORE"),
        errors.BaselineMismatchError: (grpc.StatusCode.FAILED_PRECONDITION, "BASELINE_MISMATCH"),
        errors.LedgerBrokenError: (grpc.StatusCode.DATA_LOSS, "LEDGER_BROKEN"),
        errors.AuditNotPassedError: (grpc.StatusCode.FAILED_PRECONDITION, "AUDIT_NOT_PASSED"),
        errors.SignatureError: (grpc.StatusCode.FAILED_PRECONDITION, "SIGNATURE_UNUSABLE"),
        errors.NotRecomputableError: (grpc.StatusCode.FAILED_PRECONDITION, "NOT_RECOMPUTABLE"),
        errors.PremiseError: (grpc.StatusCode.FAILED_PRECONDITION, "PREMISE_GONE"),
        errors.BundleError: (grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_UNUSABLE"),
        errors.ServiceRunningError: (grpc.StatusCode.FAILED_PRECONDITION, "SERVICE_RUNNING"),
        rpc_errors.ServerDrainingError: (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING"),
        rpc_errors.EtagMismatchError: (grpc.StatusCode.ABORTED, "ETAG_MISMATCH"),
        rpc_errors.UnsupportedIdSourceError: (grpc.StatusCode.UNIMPLEMENTED, "ID_SOURCE_UNSUPPORTED"),
        rpc_errors.UnauthenticatedError: (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        rpc_errors.CannotListenError: (grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_LISTEN"),
    }
)
"""The one place that says what an error is called outside; every class of error has its own row."""

_RESOURCES: Mapping[type[errors.ServiceError], tuple[str, str]] = MappingProxyType(
    {
        errors.UnknownLineageError: ("unlearning.v1.Model", "lineage"),
        errors.LineageExistsError: ("unlearning.v1.Model", "lineage"),
        errors.UnknownReleaseError: ("unlearning.v1.Release", "release"),
        errors.UnknownWeightsError: ("unlearning.v1.Release", "weights"),
        errors.UnknownTicketError: ("unlearning.v1.Ticket", "ticket_id"),
        errors.RequestIdReusedError: ("unlearning.v1.Ticket", "ticket_id"),
        errors.UnknownRunError: ("unlearning.v1.Run", "run_id"),
        errors.UnknownHoldError: ("unlearning.v1.Hold", "hold_id"),
        errors.UnknownReportError: ("unlearning.v1.Run", "run_id"),
        errors.UnknownCheckpointError: ("unlearning.v1.LedgerCheckpoint", "number"),
        errors.UnknownUploadError: ("unlearning.v1.Upload", "upload_id"),
    }
)
"""(type, metadata that names it) of the resource that an error is about."""

_SUBJECTS = ("ticket_id", "hold_id", "run_id", "lineage", "key")
"""Metadata that can name what a precondition is about, most specific first."""


def status_of(error: errors.ServiceError) -> Status:
    """Return what a caller is told of an error; one that the table does not know is INTERNAL."""
    row = ERROR_TABLE.get(type(error))
    if row is None:
        return internal_status()
    code, reason = row
    info = ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=_metadata(error))
    return _status(code, error.message, info, *_further_details(error, code, reason))


def method_not_implemented_status() -> Status:
    """Return the answer of a method that the contract has and this version does not."""
    info = ErrorInfo(reason="METHOD_NOT_IMPLEMENTED", domain=ERROR_DOMAIN)
    return _status(grpc.StatusCode.UNIMPLEMENTED, "this version does not serve the method yet", info)


def internal_status() -> Status:
    """Return the answer to a fault of our own: it says nothing, the logs do."""
    message = "internal error: the logs have it under the answer's x-request-id"
    return _status(grpc.StatusCode.INTERNAL, message)


def _status(code: grpc.StatusCode, message: str, *details: Message) -> Status:
    status = Status(code=code.value[0], message=_cut(message, _MAX_MESSAGE_BYTES))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _metadata(error: errors.ServiceError) -> dict[str, str]:
    metadata = dict(error.metadata)
    if isinstance(error, errors.UnknownSampleIdsError):
        metadata["count"] = str(len(error.positions))
        metadata["positions"] = ",".join(str(position) for position in error.positions[:_MAX_POSITIONS])
    return {key: _cut(value, _MAX_METADATA_BYTES) for key, value in metadata.items()}


def _further_details(error: errors.ServiceError, code: grpc.StatusCode, reason: str) -> Iterator[Message]:
    if isinstance(error, errors.InvalidRequestError):
        yield _bad_request(error.violations)
    if isinstance(error, errors.TemporaryError):
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        yield retry
    description = _cut(error.message, _MAX_MESSAGE_BYTES)
    metadata = _metadata(error)
    resource = _RESOURCES.get(type(error))
    if isinstance(error, errors.RequestIdReusedError) and "hold_id" in metadata:
        resource = _RESOURCES[errors.UnknownHoldError]
    if resource is not None:
        kind, key = resource
        yield ResourceInfo(resource_type=kind, resource_name=metadata.get(key, ""), description=description)
    if code is grpc.StatusCode.FAILED_PRECONDITION:
        subject = next((metadata[key] for key in _SUBJECTS if key in metadata), "")
        violation = PreconditionFailure.Violation(type=reason, subject=subject, description=description)
        yield PreconditionFailure(violations=[violation])


def _bad_request(violations: Sequence[errors.FieldViolation]) -> BadRequest:
    request = BadRequest()
    for violation in violations:
        request.field_violations.add(field=violation.field, description=violation.description)
        if request.ByteSize() > _MAX_VIOLATIONS_BYTES:
            del request.field_violations[-1]
            break
    return request


def _cut(text: str, most_bytes: int) -> str:
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore")
