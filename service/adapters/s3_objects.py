"""Objects in an S3 bucket: conditional writes, our own SHA-256 in the metadata.

A write whose answer was lost is sent again by botocore and then refused by its own condition. So a refusal is never
believed at once: what lies under the key decides.
"""

import hashlib
import secrets
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from service.adapters.object_bytes import (
    CHUNK_BYTES,
    check_digest,
    checked_folder,
    checked_key,
    sha256_of,
    write_checked,
)
from service.adapters.s3_calls import Condition, calling, is_refusal, status_of
from service.adapters.s3_upload import abort_uploads, upload_in_parts
from service.errors import (
    DigestMismatchError,
    ObjectExistsError,
    ObjectStoreUnavailableError,
    PointerMovedError,
    UnsafeObjectStoreError,
)
from service.ports import StoredObject
from service.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PART_BYTES = 64 * 1024 * 1024
"""Larger files go in parts of this size: 10 000 parts, S3's limit, are 640 GB, and one part fits into memory."""
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Before a write that another writer was in the way of is tried again."""
_HTTP_NOT_FOUND = 404


class S3ObjectStore:
    """Objects under a prefix of a bucket. Thread-safe, as boto3's clients are."""

    def __init__(self, client: "S3Client", bucket: str, prefix: str = "", *, part_bytes: int = PART_BYTES) -> None:
        """Use a bucket that exists; call `probe` before anything is published on it."""
        self._client = client
        self._bucket = bucket
        self._prefix = f"{checked_folder(prefix)}/" if prefix else ""
        self._part_bytes = part_bytes

    def probe(self) -> None:
        """Check that the store can be written and honours conditions, on an object of its own that it deletes.

        Raises:
            UnsafeObjectStoreError: a write went through although its condition did not hold, or the other way round.
            ObjectStoreUnavailableError: the store cannot be reached or refuses the credentials.
        """
        key = f"probe/{secrets.token_hex(16)}"
        with calling(key):
            try:
                created = self._put(key, b"1", {"IfNoneMatch": "*"})
                twice = self._put(key, b"2", {"IfNoneMatch": "*"})
                moved = None if created is None else self._put(key, b"3", {"IfMatch": created})
                stale = None if created is None else self._put(key, b"4", {"IfMatch": created})
            finally:
                self.delete(key)
        if created is None or twice is not None or moved is None or stale is not None:
            raise UnsafeObjectStoreError(
                f"the object store of bucket {self._bucket} does not honour conditional writes "
                "(If-None-Match, If-Match): two writers could publish at once; use one that does"
            )

    def create(self, key: str, data: bytes | Path) -> StoredObject:
        """Write an object that must not exist yet; the same bytes are a success."""
        in_parts = isinstance(data, Path) and data.stat().st_size > self._part_bytes
        content = data.read_bytes() if isinstance(data, Path) and not in_parts else data
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        digest = sha256_of(content)
        # Asked first where a refusal would come only after the whole upload.
        present = self.head(key) if in_parts else None
        for pause_seconds in _PAUSES_SECONDS:
            if present is None and (etag := self._write(key, content, digest, {"IfNoneMatch": "*"})) is not None:
                return self._read_back(key, etag=etag, digest=digest, size=size)
            present = present or self.head(key)
            if present is not None:
                if present.sha256 != digest:
                    raise ObjectExistsError(f"object {key} exists with other bytes", key=key)
                return present
            time.sleep(pause_seconds)
        raise ObjectStoreUnavailableError(f"object {key}: other writers were in the way again and again")

    def replace(self, key: str, data: bytes, *, expected_etag: str | None) -> StoredObject:
        """Move a pointer by compare-and-swap; the same bytes being there already is a success."""
        digest = sha256_of(data)
        condition: Condition = {"IfNoneMatch": "*"} if expected_etag is None else {"IfMatch": expected_etag}
        for pause_seconds in _PAUSES_SECONDS:
            if (etag := self._write(key, data, digest, condition)) is not None:
                return self._read_back(key, etag=etag, digest=digest, size=len(data))
            present = self.head(key)
            if present is not None and present.sha256 == digest:
                return present
            if (None if present is None else present.etag) != expected_etag:
                raise PointerMovedError(f"pointer {key} was moved by somebody else", key=key)
            time.sleep(pause_seconds)
        raise ObjectStoreUnavailableError(f"pointer {key}: other writers were in the way again and again")

    def overwrite(self, key: str, data: bytes) -> None:
        """Write without any condition."""
        if self._write(key, data, sha256_of(data), {}) is None:
            raise ObjectStoreUnavailableError(f"object {key}: another write was in the way")

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object; its digest is empty if something else than this store wrote it."""
        with calling(key):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._full(key))
            except ClientError as error:
                if status_of(error) == _HTTP_NOT_FOUND:
                    return None
                raise
        sha256 = answer["Metadata"].get("sha256", "")
        return StoredObject(key=key, size=answer["ContentLength"], etag=answer["ETag"], sha256=sha256)

    def read(self, key: str) -> bytes:
        """Return an object's bytes, checked against its recorded digest."""
        with calling(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._full(key))
            content = answer["Body"].read()
        sha256 = answer["Metadata"].get("sha256", "")
        check_digest(key, expected=sha256, actual=hashlib.sha256(content).hexdigest())
        return content

    def download(self, key: str, path: Path) -> StoredObject:
        """Write an object to a file, checked like `read`."""
        with calling(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._full(key))
            sha256 = answer["Metadata"].get("sha256", "")
            write_checked(answer["Body"].iter_chunks(CHUNK_BYTES), path, key=key, expected=sha256)
        return StoredObject(key=key, size=answer["ContentLength"], etag=answer["ETag"], sha256=sha256)

    def keys(self, folder: str) -> Iterator[str]:
        """Yield the keys under a folder, sorted (SeaweedFS lists in another order than AWS)."""
        folder = checked_folder(folder)
        under = f"{self._prefix}{folder}/" if folder else self._prefix
        found = []
        with calling(folder):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=under):
                found += [entry["Key"].removeprefix(self._prefix) for entry in page.get("Contents", [])]
        yield from sorted(found)

    def delete(self, key: str) -> None:
        """Delete an object: every version, every delete marker and every part of an unfinished upload."""
        full = self._full(key)
        with calling(key):
            abort_uploads(self._client, self._bucket, full)
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=full)
            versions = [
                entry["VersionId"]
                for page in pages
                for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
                if entry["Key"] == full
            ]
            for version in versions:
                self._client.delete_object(Bucket=self._bucket, Key=full, VersionId=version)

    def locate(self, key: str) -> str:
        """Return the URI of an object."""
        return f"s3://{self._bucket}/{self._full(key)}"

    def _full(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _write(self, key: str, data: bytes | Path, digest: str, condition: Condition) -> str | None:
        """Write and return the ETag, `None` where the condition was refused."""
        with calling(key):
            if isinstance(data, bytes):
                return self._put(key, data, condition)
            try:
                return upload_in_parts(
                    self._client,
                    self._bucket,
                    self._full(key),
                    data,
                    digest=digest,
                    condition=condition,
                    part_bytes=self._part_bytes,
                )
            except ClientError as error:
                if is_refusal(error):
                    return None
                raise

    def _put(self, key: str, data: bytes, condition: Condition) -> str | None:
        digest = hashlib.sha256(data)
        try:
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=self._full(key),
                Body=data,
                Metadata={"sha256": digest.hexdigest()},
                ChecksumSHA256=b64encode(digest.digest()).decode(),  # S3 refuses other bytes than these
                **condition,
            )
        except ClientError as error:
            if is_refusal(error):
                return None
            raise
        return answer["ETag"]

    def _read_back(self, key: str, *, etag: str, digest: str, size: int) -> StoredObject:
        """Check that what was written is there as it was written.

        Raises:
            DigestMismatchError: the store kept another digest or length.
            ObjectStoreUnavailableError: it is not there.
        """
        written = StoredObject(key=key, size=size, etag=etag, sha256=digest)
        present = self.head(key)
        if present is None:
            raise ObjectStoreUnavailableError(f"object {key} was written, but cannot be found")
        # Another ETag belongs to a pointer that somebody has moved on.
        if present.etag == etag and present != written:
            raise DigestMismatchError(f"object {key} was not kept as it was written", key=key)
        return written


def connect_s3(settings: Settings) -> S3ObjectStore:
    """Build the store that the settings describe; nothing is sent before its first use."""
    access_key_id, secret_access_key = settings.s3_access_key_id, settings.s3_secret_access_key
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=access_key_id.get_secret_value() if access_key_id else None,
        aws_secret_access_key=secret_access_key.get_secret_value() if secret_access_key else None,
        verify=str(settings.s3_ca_bundle) if settings.s3_ca_bundle else None,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
            # Servers other than AWS seldom have a name in the DNS for every bucket.
            s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
        ),
    )
    return S3ObjectStore(client, settings.s3_bucket, settings.s3_prefix)
