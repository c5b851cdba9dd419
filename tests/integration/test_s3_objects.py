"""What is particular to S3: conditions ignored, answers lost, versions, parts, a server that is away."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from pydantic import SecretStr

from service.adapters.s3_objects import S3ObjectStore, connect_s3
from service.errors import (
    DigestMismatchError,
    ObjectExistsError,
    ObjectStoreUnavailableError,
    PointerMovedError,
    UnsafeObjectStoreError,
)
from service.settings import Settings
from tests.servers import S3Server

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture
def client(s3_server: S3Server) -> "S3Client":
    return s3_server.client()


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture
def store(s3_server: S3Server, client: "S3Client", prefix: str) -> S3ObjectStore:
    return S3ObjectStore(client, s3_server.bucket, prefix, part_bytes=PART_BYTES)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(secrets.token_bytes(PART_BYTES + 12345))
    return path


def lose_answer(client: "S3Client", operation: str) -> list[str]:
    """Let the first answer to an operation be lost after the server has acted; botocore then sends it again."""
    lost: list[str] = []

    def lose(response: tuple[AWSResponse, object] | None, **_: object) -> float | None:
        if response is not None and not lost:
            lost.append(operation)
            return 0.0
        return None

    # The stubs forget that a handler of this event returns the pause before the next attempt.
    client.meta.events.register_first(f"needs-retry.s3.{operation}", lose)  # type: ignore[arg-type]
    return lost


def ignore_condition(client: "S3Client", header: str) -> None:
    """Make the store one that does not know a condition: it never gets to see it."""

    def strip(request: AWSPreparedRequest, **_: object) -> None:
        if header in request.headers:
            del request.headers[header]

    client.meta.events.register("before-sign.s3.PutObject", strip)


def test_a_store_that_honours_conditions_is_accepted_and_left_as_it_was(store: S3ObjectStore) -> None:
    store.probe()

    assert list(store.keys("")) == []


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_a_condition_is_refused_and_left_as_it_was(
    s3_server: S3Server, client: "S3Client", store: S3ObjectStore, prefix: str, header: str
) -> None:
    ignore_condition(client, header)

    with pytest.raises(UnsafeObjectStoreError, match="does not honour conditional writes"):
        store.probe()
    assert list(S3ObjectStore(s3_server.client(), s3_server.bucket, prefix).keys("")) == []


def test_a_creation_whose_answer_was_lost_succeeds(client: "S3Client", store: S3ObjectStore) -> None:
    lost = lose_answer(client, "PutObject")

    written = store.create("a", b"weights")

    assert lost
    assert store.head("a") == written
    assert store.read("a") == b"weights"


def test_a_move_whose_answer_was_lost_succeeds(client: "S3Client", store: S3ObjectStore) -> None:
    first = store.replace("current.json", b"1", expected_etag=None)
    lost = lose_answer(client, "PutObject")

    second = store.replace("current.json", b"2", expected_etag=first.etag)

    assert lost
    assert store.head("current.json") == second
    with pytest.raises(PointerMovedError):
        store.replace("current.json", b"3", expected_etag=first.etag)


def test_an_upload_in_parts_whose_completion_was_lost_succeeds(
    client: "S3Client", store: S3ObjectStore, source: Path, tmp_path: Path
) -> None:
    lost = lose_answer(client, "CompleteMultipartUpload")

    written = store.create("large", source)

    assert lost
    assert written.size == source.stat().st_size
    store.download("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_an_upload_in_parts_that_somebody_overtakes_is_refused_and_leaves_no_parts(
    s3_server: S3Server, client: "S3Client", store: S3ObjectStore, prefix: str, source: Path
) -> None:
    other = S3ObjectStore(s3_server.client(), s3_server.bucket, prefix)

    def overtake(**_: object) -> None:
        other.create("large", b"somebody else's")

    client.meta.events.register("before-call.s3.CompleteMultipartUpload", overtake)

    with pytest.raises(ObjectExistsError):
        store.create("large", source)
    assert store.read("large") == b"somebody else's"
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix=prefix)


def test_a_file_that_changes_while_it_is_uploaded_is_not_published(
    s3_server: S3Server, client: "S3Client", store: S3ObjectStore, prefix: str, source: Path
) -> None:
    def change(**_: object) -> None:
        with source.open("ab") as file:
            file.write(b"more")

    client.meta.events.register("before-call.s3.CreateMultipartUpload", change)

    with pytest.raises(DigestMismatchError, match="changed while it was uploaded"):
        store.create("large", source)
    assert store.head("large") is None
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix=prefix)


def test_bytes_that_change_on_the_way_are_refused(client: "S3Client", store: S3ObjectStore) -> None:
    def corrupt(request: AWSRequest, **_: object) -> None:
        request.data = b"wrights"

    client.meta.events.register("before-sign.s3.PutObject", corrupt)

    with pytest.raises(ObjectStoreUnavailableError, match="BadDigest"):
        store.create("a", b"weights")
    assert store.head("a") is None


def test_deleting_a_key_deletes_the_parts_that_a_killed_writer_left(
    s3_server: S3Server, client: "S3Client", store: S3ObjectStore, prefix: str
) -> None:
    for key in ("large", "large.other"):
        upload = client.create_multipart_upload(Bucket=s3_server.bucket, Key=f"{prefix}/{key}")
        client.upload_part(
            Bucket=s3_server.bucket, Key=f"{prefix}/{key}", UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
        )

    store.delete("large")

    left = client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix=prefix)["Uploads"]
    assert [upload["Key"] for upload in left] == [f"{prefix}/large.other"]


def test_deleting_leaves_no_version_and_no_delete_marker(s3_server: S3Server, prefix: str) -> None:
    client, bucket = s3_server.client(), s3_server.versioned_bucket
    store = S3ObjectStore(client, bucket, prefix)
    for number in range(3):
        store.overwrite("m/weights", str(number).encode())
        store.overwrite("m/weights2", str(number).encode())
    client.delete_object(Bucket=bucket, Key=f"{prefix}/m/weights")

    store.delete("m/weights")

    versions = client.list_object_versions(Bucket=bucket, Prefix=prefix)
    assert {entry["Key"] for entry in versions["Versions"]} == {f"{prefix}/m/weights2"}
    assert len(versions["Versions"]) == 3
    assert "DeleteMarkers" not in versions


def test_an_object_that_somebody_else_wrote_is_not_trusted(
    s3_server: S3Server, client: "S3Client", store: S3ObjectStore, prefix: str
) -> None:
    client.put_object(Bucket=s3_server.bucket, Key=f"{prefix}/foreign", Body=b"1")

    with pytest.raises(DigestMismatchError, match="no digest was recorded"):
        store.read("foreign")
    with pytest.raises(ObjectExistsError):
        store.create("foreign", b"1")


def test_a_store_without_a_prefix_uses_the_whole_bucket(s3_server: S3Server) -> None:
    key = f"whole-{secrets.token_hex(8)}/a"
    store = S3ObjectStore(s3_server.client(), s3_server.bucket)

    store.create(key, b"1")

    assert store.locate(key) == f"s3://{s3_server.bucket}/{key}"
    assert key in store.keys("")


@pytest.fixture
def settings(s3_server: S3Server, prefix: str) -> Settings:
    return Settings(
        s3_bucket=s3_server.bucket,
        s3_prefix=prefix,
        s3_endpoint_url=s3_server.endpoint_url,
        s3_access_key_id=SecretStr(s3_server.access_key_id),
        s3_secret_access_key=SecretStr(s3_server.secret_access_key),
    )


def test_the_store_of_the_settings_works(settings: Settings) -> None:
    store = connect_s3(settings)
    store.probe()

    assert store.read(store.create("a", b"1").key) == b"1"


@pytest.mark.parametrize(
    "wrong", [{"s3_secret_access_key": SecretStr("wrong")}, {"s3_access_key_id": SecretStr("nobody")}]
)
def test_wrong_credentials_do_not_start(settings: Settings, wrong: dict[str, object]) -> None:
    with pytest.raises(ObjectStoreUnavailableError, match="S3 answered 403"):
        connect_s3(settings.model_copy(update=wrong)).probe()


def test_a_missing_bucket_is_not_taken_for_a_missing_object(settings: Settings) -> None:
    # Read, not written: SeaweedFS makes a bucket when its administrator writes to it.
    with pytest.raises(ObjectStoreUnavailableError, match="404 NoSuchBucket"):
        connect_s3(settings.model_copy(update={"s3_bucket": "no-such-bucket"})).read("a")


@pytest.fixture
def away() -> Iterator[S3ObjectStore]:
    server = S3Server(endpoint_url="http://127.0.0.1:9", access_key_id="a", secret_access_key="b")
    client = server.client(total_max_attempts=1)
    yield S3ObjectStore(client, "bucket")
    client.close()


def test_a_server_that_is_away_is_unavailable(away: S3ObjectStore, tmp_path: Path) -> None:
    for call in (
        away.probe,
        lambda: away.create("a", b""),
        lambda: away.replace("a", b"", expected_etag=None),
        lambda: away.overwrite("a", b""),
        lambda: away.head("a"),
        lambda: away.read("a"),
        lambda: away.download("a", tmp_path / "copy"),
        lambda: list(away.keys("")),
        lambda: away.delete("a"),
    ):
        with pytest.raises(ObjectStoreUnavailableError, match="cannot be reached"):
            call()
    assert list(tmp_path.iterdir()) == []
