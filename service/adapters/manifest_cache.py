"""Local copies of manifests, checked against the digest that names them."""

import os
import re
import threading
from pathlib import Path

from service.adapters.object_bytes import sha256_of
from service.errors import DigestMismatchError, FieldViolation, InvalidRequestError, ManifestDigestMismatchError
from service.ports import ObjectStore, manifest_key

_DIGEST = re.compile(r"[0-9a-f]{64}")

_Stamp = tuple[int, int, int]
"""Inode, size and time of change in nanoseconds: another file, or the same one changed, has another one."""


class ManifestCache:
    """Brings manifests from the object store to a local folder. Safe for several threads and processes."""

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        """Use a folder, made at the first download."""
        self._objects = objects
        self._folder = folder
        self._lock = threading.Lock()
        self._checked: dict[str, _Stamp] = {}

    def path(self, digest: str) -> Path:
        """Return the local copy of a manifest.

        A copy that this process has not hashed yet, or that changed since, is hashed; a damaged one is fetched again.

        Raises:
            InvalidRequestError: this is no digest.
            ObjectMissingError: no manifest has this digest.
            ManifestDigestMismatchError: the bytes in the object store have another one.
        """
        if not _DIGEST.fullmatch(digest):
            raise InvalidRequestError(
                FieldViolation(
                    field="manifest_digest", description="must be a SHA-256, 64 lower-case hexadecimal digits"
                )
            )
        path = self._folder / f"{digest}.parquet"
        with self._lock:
            if digest in self._checked and self._checked[digest] == _stamp(path):
                return path
            if not path.exists() or sha256_of(path) != digest:
                self._fetch(digest, path)
            stamp = _stamp(path)
            if stamp is not None:
                self._checked[digest] = stamp
        return path

    def _fetch(self, digest: str, path: Path) -> None:
        try:
            stored = self._objects.download(manifest_key(digest), path)
        except DigestMismatchError as error:
            raise ManifestDigestMismatchError("the stored manifest was damaged: restore it from a copy") from error
        if stored.sha256 != digest:
            path.unlink()
            raise ManifestDigestMismatchError(
                f"the stored manifest has SHA-256 {stored.sha256}, not the one that names it, {digest}"
            )


def _stamp(path: Path) -> _Stamp | None:
    try:
        status: os.stat_result = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
