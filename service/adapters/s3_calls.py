"""Calls to S3 and what their errors mean to us."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from service.errors import DigestMismatchError, ObjectMissingError, ObjectStoreUnavailableError

_REFUSED_CODES = frozenset({"NoSuchKey", "NoSuchUpload"})
_REFUSED_STATUSES = frozenset({409, 412})


class Condition(TypedDict, total=False):
    """On what a write depends, in boto3's words; empty for a write without any condition."""

    IfNoneMatch: str
    IfMatch: str


def is_refusal(error: ClientError) -> bool:
    """Return whether a conditional write was refused, for whatever lies under its key to explain.

    412: the condition does not hold, or did not any more when botocore repeated a write that had gone through.
    409: another write to the key was under way. `NoSuchKey`: `IfMatch` of an object that is gone (AWS; others answer
    412). `NoSuchUpload`: the multipart upload was completed already, by a write whose answer was lost.
    """
    return status_of(error) in _REFUSED_STATUSES or code_of(error) in _REFUSED_CODES


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an answer."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def code_of(error: ClientError) -> str:
    """Return S3's name of an error."""
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def calling(key: str) -> Iterator[None]:
    """Turn what botocore raises into our errors.

    Wrong credentials or a missing bucket count as unavailable too: the request is not at fault, and `probe` has
    refused to start on them.

    Raises:
        ObjectMissingError: the object does not exist.
        DigestMismatchError: the bytes are not those of the checksum that S3 keeps.
        ObjectStoreUnavailableError: anything else.
    """
    try:
        yield
    except ClientError as error:
        if code_of(error) in {"NoSuchKey", "NoSuchVersion"}:
            raise ObjectMissingError(f"object {key} does not exist", key=key) from error
        raise ObjectStoreUnavailableError(
            f"object {key}: S3 answered {status_of(error)} {code_of(error)} to {error.operation_name}"
        ) from error
    except FlexibleChecksumError as error:
        raise DigestMismatchError(f"object {key}: its bytes do not have the checksum that S3 keeps", key=key) from error
    except (BotoCoreError, OSError) as error:
        raise ObjectStoreUnavailableError(f"object {key}: S3 cannot be reached: {type(error).__name__}") from error
