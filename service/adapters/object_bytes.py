"""What every object store does with keys and bytes: check a key, hash, write a file that is checked."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from service.errors import DigestMismatchError, FieldViolation, InvalidRequestError, ObjectStoreUnavailableError

CHUNK_BYTES = 1024 * 1024
"""Read and written at once, so that memory does not grow with the object."""
_MAX_KEY_LENGTH = 1024
"""Bytes; the limit of S3."""
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+@~-]{0,199}")
"""No dot in front: neither `..` nor a name that a directory store keeps for itself. 200 fits every file system."""


def checked_key(key: str) -> str:
    """Return a key that means the same thing in every store: relative, without empty, dotted or odd segments.

    Raises:
        InvalidRequestError: the key is something else.
    """
    if len(key) > _MAX_KEY_LENGTH or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise InvalidRequestError(
            FieldViolation(
                field="key",
                description=f"{key[:80]!r} is not an object key: segments of letters, digits and ._=+@~- "
                f"that begin with a letter, a digit or _, joined by /, at most {_MAX_KEY_LENGTH} long",
            )
        )
    return key


def checked_folder(prefix: str) -> str:
    """Return a prefix as a folder's name: without the slash at its end, empty for everything."""
    folder = prefix.removesuffix("/")
    return checked_key(folder) if folder else ""


def in_folder(key: str, folder: str) -> bool:
    """Return whether a key lies in a folder; `models/ab` does not lie in `models/a`."""
    return not folder or key.startswith(f"{folder}/")


def chunks_of(data: bytes | Path) -> Iterator[bytes]:
    """Yield bytes in pieces that fit into memory."""
    if isinstance(data, bytes):
        yield data
        return
    with data.open("rb") as file:
        yield from chunks_of_file(file)


def chunks_of_file(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is left of an open file in pieces that fit into memory."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def sha256_of(data: bytes | Path) -> str:
    """Return the SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks_of(data):
        digest.update(chunk)
    return digest.hexdigest()


def check_digest(key: str, *, expected: str, actual: str) -> None:
    """Refuse bytes that are not those that were written.

    Raises:
        DigestMismatchError: they are not.
    """
    if expected != actual:
        raise DigestMismatchError(
            f"object {key}: its bytes have SHA-256 {actual}, but {expected or 'no digest'} was recorded: "
            "restore it from a copy",
            key=key,
        )


def write_checked(chunks: Iterable[bytes], path: Path, *, key: str, expected: str) -> None:
    """Write an object to a file: completely, with the expected digest, or not at all.

    Raises:
        DigestMismatchError: the bytes have another digest.
        ObjectStoreUnavailableError: the file cannot be written, or the bytes cannot be read now.
    """
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            check_digest(key, expected=expected, actual=digest.hexdigest())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ObjectStoreUnavailableError(f"object {key} cannot be written to a file: {error.strerror}") from error
