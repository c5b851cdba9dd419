"""Upload of a large file to S3 in parts: nothing is visible before the conditional completion."""

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from service.adapters.s3_calls import Condition
from service.errors import DigestMismatchError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef


def upload_in_parts(
    client: "S3Client", bucket: str, key: str, path: Path, *, digest: str, condition: Condition, part_bytes: int
) -> str:
    """Upload a file, checked part by part and as a whole, and return its ETag.

    Raises:
        DigestMismatchError: the file changed while it was read.
        ClientError: S3 refused something, the condition included.
    """
    upload_id = client.create_multipart_upload(
        Bucket=bucket, Key=key, Metadata={"sha256": digest}, ChecksumAlgorithm="SHA256"
    )["UploadId"]
    try:
        parts, read = _upload_parts(client, bucket, key, path, upload_id=upload_id, part_bytes=part_bytes)
        if read != digest:
            raise DigestMismatchError(f"the file for object {key} changed while it was uploaded", key=key)
        return client.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **condition
        )["ETag"]
    except BaseException:
        _abort(client, bucket, key, upload_id)
        raise


def abort_uploads(client: "S3Client", bucket: str, key: str) -> None:
    """Delete the parts that killed writers of a key have left."""
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
        for upload in page.get("Uploads", []):
            if upload["Key"] == key:
                client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])


def _upload_parts(
    client: "S3Client", bucket: str, key: str, path: Path, *, upload_id: str, part_bytes: int
) -> tuple[list["CompletedPartTypeDef"], str]:
    whole = hashlib.sha256()
    parts: list[CompletedPartTypeDef] = []
    with path.open("rb") as file:
        while part := file.read(part_bytes):
            whole.update(part)
            checksum = b64encode(hashlib.sha256(part).digest()).decode()
            number = len(parts) + 1
            answer = client.upload_part(
                Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=part, ChecksumSHA256=checksum
            )
            parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})
    return parts, whole.hexdigest()


def _abort(client: "S3Client", bucket: str, key: str, upload_id: str) -> None:
    try:
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except (BotoCoreError, ClientError):
        # What failed before is what the caller must hear of; `abort_uploads` finds the parts when the key is deleted.
        return
