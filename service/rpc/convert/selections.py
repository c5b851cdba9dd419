"""Samples that are not named by ids in the request, and uploads of ids."""

from collections.abc import Iterator

from service.domain.submission import ByLabel, BySubjects, ByUpload, Selection
from service.domain.upload import Upload, UploadHeader
from service.errors import EmptyForgetSetError, FieldViolation, InvalidRequestError
from service.pb.unlearning.v1 import deletion_service_pb2, sample_selection_pb2
from service.rpc.convert.responses import timestamp
from service.rpc.errors import UnsupportedIdSourceError
from service.rpc.validation import check_ids, check_lineage, check_request_id, check_text, refuse_if_any

_MAX_KEY_CHARACTERS = 128


def selection(message: sample_selection_pb2.SampleSelection) -> Selection:
    """Return which samples are meant.

    Raises:
        InvalidRequestError: the selection breaks the contract.
        UnsupportedIdSourceError: it names them in a way that is not served.
        EmptyForgetSetError: nobody is named.
    """
    match message.WhichOneof("source"):
        case "subjects":
            subject_ids = tuple(message.subjects.subject_ids)
            if not subject_ids:
                raise EmptyForgetSetError("the request names nobody")
            refuse_if_any(check_ids("samples.subjects.subject_ids", subject_ids))
            return BySubjects(subject_ids=subject_ids)
        case "label":
            negative = FieldViolation(field="samples.label", description="must not be negative")
            refuse_if_any([negative] if message.label < 0 else ())
            return ByLabel(label=message.label)
        case "upload_id":
            refuse_if_any(check_text("samples.upload_id", message.upload_id, _MAX_KEY_CHARACTERS))
            return ByUpload(upload_id=message.upload_id)
        case source:
            raise UnsupportedIdSourceError(f"this version does not take sample ids by {source}")


def upload_header(requests: Iterator[deletion_service_pb2.UploadSampleIdsRequest]) -> UploadHeader:
    """Return what an upload says of itself: its first message.

    Raises:
        InvalidRequestError: the message breaks the contract, or there is none.
    """
    first = next(requests, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidRequestError(FieldViolation(field="header", description="must be the first message"))
    refuse_if_any(check_request_id(first.header.request_id), check_lineage(first.header.lineage))
    return UploadHeader(
        request_id=first.header.request_id, lineage=first.header.lineage, sample_count=first.header.sample_count
    )


def pieces(requests: Iterator[deletion_service_pb2.UploadSampleIdsRequest]) -> Iterator[tuple[str, ...]]:
    """Yield the ids of the further messages, as they come.

    Raises:
        InvalidRequestError: a message breaks the contract.
    """
    for message in requests:
        if message.WhichOneof("part") != "chunk" or not message.chunk.sample_ids:
            description = "every message but the first must hold ids"
            raise InvalidRequestError(FieldViolation(field="chunk", description=description))
        refuse_if_any(check_ids("chunk.sample_ids", message.chunk.sample_ids))
        yield tuple(message.chunk.sample_ids)


def upload(record: Upload) -> deletion_service_pb2.UploadSampleIdsResponse:
    """Return an upload."""
    return deletion_service_pb2.UploadSampleIdsResponse(
        upload_id=record.upload_id,
        sample_count=record.header.sample_count,
        ids_commitment=record.ids_commitment or "",
        expire_time=timestamp(record.expires_at),
    )
