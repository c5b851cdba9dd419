"""What every object store promises: memory, a directory, and a real S3 server."""

import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.adapters.directory_objects import DirectoryObjectStore
from service.adapters.memory import MemoryObjectStore
from service.adapters.s3_objects import S3ObjectStore
from service.errors import (
    DigestMismatchError,
    InvalidRequestError,
    ObjectExistsError,
    ObjectMissingError,
    PointerMovedError,
)
from service.ports import ObjectStore, StoredObject
from tests.servers import S3Server

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes, so that a small file goes in parts."""
WRITERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A store, how somebody changes its bytes behind its back, and how many versions of an object lie there."""

    store: ObjectStore
    tamper: Callable[[str, bytes], None]
    versions: Callable[[str], int]


def _memory() -> Case:
    store = MemoryObjectStore()

    def tamper(key: str, data: bytes) -> None:
        store._objects[key] = (data, store._objects[key][1])

    return Case(store=store, tamper=tamper, versions=lambda key: int(key in store._objects))


def _directory(root: Path) -> Case:
    store = DirectoryObjectStore(root)

    def tamper(key: str, data: bytes) -> None:
        Path(store.locate(key)).write_bytes(data)

    def versions(_key: str) -> int:
        return len(list((root / ".blobs").iterdir()))  # of the one object that there is

    return Case(store=store, tamper=tamper, versions=versions)


def _s3(server: S3Server, *, versioned: bool) -> Case:
    client, prefix = server.client(), f"some/prefix-{secrets.token_hex(8)}"
    bucket = server.versioned_bucket if versioned else server.bucket

    def tamper(key: str, data: bytes) -> None:
        metadata = client.head_object(Bucket=bucket, Key=f"{prefix}/{key}")["Metadata"]
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=data, Metadata=metadata)

    def versions(key: str) -> int:
        answer = client.list_object_versions(Bucket=bucket, Prefix=f"{prefix}/{key}")
        return len(answer.get("Versions", [])) + len(answer.get("DeleteMarkers", []))

    store = S3ObjectStore(client, bucket, prefix, part_bytes=PART_BYTES)
    return Case(store=store, tamper=tamper, versions=versions)


@pytest.fixture(params=["memory", "directory", "s3", "s3-versioned"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    match request.param:
        case "memory":
            return _memory()
        case "directory":
            return _directory(tmp_path / "objects")
        case _:
            return _s3(request.getfixturevalue("s3_server"), versioned=request.param == "s3-versioned")


@pytest.fixture
def store(case: Case) -> ObjectStore:
    return case.store


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one", "1 MB"])
def test_what_was_created_is_read_back(store: ObjectStore, tmp_path: Path, data: bytes) -> None:
    written = store.create("a/b.bin", data)

    assert (written.key, written.size, written.sha256) == ("a/b.bin", len(data), sha256(data))
    assert store.read("a/b.bin") == data
    assert store.head("a/b.bin") == written
    assert store.download("a/b.bin", tmp_path / "new" / "copy") == written
    assert (tmp_path / "new" / "copy").read_bytes() == data
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]


def test_a_download_replaces_the_file_that_is_there(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"old and longer")
    store.create("a", b"new")

    store.download("a", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"new"


def test_a_file_is_created_as_bytes_are(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"weights")

    assert store.create("a", tmp_path / "source").sha256 == sha256(b"weights")
    assert store.read("a") == b"weights"


def test_a_large_file_is_created_once_and_resolved_when_repeated(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(251)) * (2 * PART_BYTES // 251 + 1000))

    written = store.create("a/large", source)

    assert written.size == source.stat().st_size
    assert store.create("a/large", source) == written
    store.download("a/large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    source.write_bytes(source.read_bytes()[::-1])
    with pytest.raises(ObjectExistsError):
        store.create("a/large", source)


def test_the_same_bytes_again_are_a_success(store: ObjectStore) -> None:
    assert store.create("a", b"same") == store.create("a", b"same")


def test_other_bytes_under_a_key_are_refused_and_change_nothing(store: ObjectStore) -> None:
    store.create("a", b"first")

    with pytest.raises(ObjectExistsError, match="a exists with other bytes"):
        store.create("a", b"second")
    assert store.read("a") == b"first"


def test_of_writers_at_once_one_creates_and_all_others_are_refused(store: ObjectStore) -> None:
    def create(writer: int) -> StoredObject | None:
        try:
            return store.create("race/object", f"writer {writer}".encode())
        except ObjectExistsError:
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(create, range(WRITERS)))

    winners = [result for result in results if result is not None]
    assert len(winners) == 1
    assert sha256(store.read("race/object")) == winners[0].sha256


def test_writers_of_the_same_bytes_at_once_all_succeed(store: ObjectStore) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(lambda _: store.create("race/same", b"same"), range(WRITERS)))

    assert len(set(results)) == 1


def test_a_pointer_moves_from_nothing_to_one_value_to_the_next(store: ObjectStore) -> None:
    first = store.replace("current.json", b"1", expected_etag=None)
    second = store.replace("current.json", b"2", expected_etag=first.etag)

    assert first.etag != second.etag
    assert store.head("current.json") == second
    assert store.read("current.json") == b"2"


@pytest.mark.parametrize("expected", ["none", "stale"])
def test_a_pointer_that_was_moved_does_not_move_again(store: ObjectStore, expected: str) -> None:
    first = store.replace("current.json", b"1", expected_etag=None)
    store.replace("current.json", b"2", expected_etag=first.etag)

    with pytest.raises(PointerMovedError):
        store.replace("current.json", b"3", expected_etag=None if expected == "none" else first.etag)
    assert store.read("current.json") == b"2"


def test_a_deleted_pointer_does_not_move(store: ObjectStore) -> None:
    first = store.replace("current.json", b"1", expected_etag=None)
    store.delete("current.json")

    with pytest.raises(PointerMovedError):
        store.replace("current.json", b"2", expected_etag=first.etag)
    assert store.head("current.json") is None


def test_a_repeated_move_is_resolved(store: ObjectStore) -> None:
    first = store.replace("current.json", b"1", expected_etag=None)
    assert store.replace("current.json", b"1", expected_etag=None) == first

    second = store.replace("current.json", b"2", expected_etag=first.etag)
    assert store.replace("current.json", b"2", expected_etag=first.etag) == second


@pytest.mark.parametrize("exists", [False, True])
def test_of_movers_at_once_one_wins(store: ObjectStore, exists: bool) -> None:
    etag = store.replace("current.json", b"start", expected_etag=None).etag if exists else None

    def move(mover: int) -> StoredObject | None:
        try:
            return store.replace("current.json", f"mover {mover}".encode(), expected_etag=etag)
        except PointerMovedError:
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(move, range(WRITERS)))

    winners = [result for result in results if result is not None]
    assert len(winners) == 1
    assert sha256(store.read("current.json")) == winners[0].sha256


def test_increments_by_compare_and_swap_are_never_lost(store: ObjectStore) -> None:
    store.replace("counter", b"0", expected_etag=None)

    def increment(mover: int) -> None:
        while True:
            present = store.head("counter")
            assert present is not None
            count, _, _ = store.read("counter").partition(b" ")
            if (head := store.head("counter")) is None or head.etag != present.etag:
                continue
            try:
                store.replace("counter", f"{int(count) + 1} by {mover}".encode(), expected_etag=present.etag)
            except PointerMovedError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(12)))

    assert store.read("counter").startswith(b"12 ")


def test_an_overwrite_needs_nothing_and_replaces_anything(store: ObjectStore) -> None:
    store.overwrite("progress.json", b"1")
    store.overwrite("progress.json", b"22")

    assert store.read("progress.json") == b"22"
    head = store.head("progress.json")
    assert head is not None
    assert (head.size, head.sha256) == (2, sha256(b"22"))


def test_a_reader_of_an_object_that_is_overwritten_sees_one_whole_value(store: ObjectStore) -> None:
    values = [bytes([value]) * 50_000 for value in range(10)]
    store.overwrite("progress.json", values[0])

    def write() -> None:
        for value in values:
            store.overwrite("progress.json", value)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            assert store.read("progress.json") in values
    writing.result()


def test_what_does_not_exist_is_missing(store: ObjectStore, tmp_path: Path) -> None:
    assert store.head("folder/none") is None
    with pytest.raises(ObjectMissingError):
        store.read("folder/none")
    with pytest.raises(ObjectMissingError):
        store.download("folder/none", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert list(store.keys("folder")) == []


@pytest.mark.parametrize("bytes_now", [b"tampered with", b"writt", b"written and more", b""])
def test_bytes_that_were_changed_are_not_returned(case: Case, tmp_path: Path, bytes_now: bytes) -> None:
    case.store.create("a", b"written")
    case.tamper("a", bytes_now)

    with pytest.raises(DigestMismatchError, match="object a"):
        case.store.read("a")
    with pytest.raises(DigestMismatchError, match="object a"):
        case.store.download("a", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_keys_are_those_of_the_folder_sorted(store: ObjectStore) -> None:
    keys = ["m/a-b/x", "m/a/x", "m/a/y/z", "m/a0", "m/a=b", "m/ab/x", "n"]
    for key in reversed(keys):
        store.create(key, b"")

    assert list(store.keys("")) == keys
    assert list(store.keys("m")) == keys[:-1]
    assert list(store.keys("m/a")) == ["m/a/x", "m/a/y/z"]
    assert list(store.keys("m/a/")) == ["m/a/x", "m/a/y/z"]
    assert list(store.keys("n")) == []


def test_deleted_objects_are_gone_and_their_neighbours_are_not(store: ObjectStore) -> None:
    store.create("m/a", b"1")
    store.create("m/ab", b"2")
    store.overwrite("m/a", b"3")

    store.delete("m/a")
    store.delete("m/a")
    store.delete("never/was")

    assert store.head("m/a") is None
    assert list(store.keys("")) == ["m/ab"]
    store.create("m/a", b"4")
    assert store.read("m/a") == b"4"


def test_of_a_deleted_object_no_version_is_kept(case: Case) -> None:
    case.store.create("m/weights", b"1")
    case.store.overwrite("m/weights", b"2")
    case.store.delete("m/weights")
    assert case.versions("m/weights") == 0

    case.store.create("m/weights", b"3")
    assert case.versions("m/weights") == 1
    case.store.delete("m/weights")
    assert case.versions("m/weights") == 0


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.blobs/b", "a\\..\\b",
        "a\nb", "a\x00b", "a b", "a%2e%2e", "\u00e4", "a\u202eb", "\ud800", "a*", "[a]", "a?b", "a" * 201,
        "a/" * 600 + "a",
    ],
)  # fmt: skip
def test_hostile_keys_are_refused(store: ObjectStore, tmp_path: Path, key: str) -> None:
    for call in (
        lambda: store.create(key, b""),
        lambda: store.replace(key, b"", expected_etag=None),
        lambda: store.overwrite(key, b""),
        lambda: store.head(key),
        lambda: store.read(key),
        lambda: store.download(key, tmp_path / "copy"),
        lambda: store.delete(key),
        lambda: store.locate(key),
    ):
        with pytest.raises(InvalidRequestError, match="key"):
            call()
    assert list(store.keys("")) == []


def test_the_longest_segment_is_stored(store: ObjectStore) -> None:
    store.create("a/" + "b" * 200, b"1")

    assert store.read("a/" + "b" * 200) == b"1"


def test_an_object_is_located_by_its_key(store: ObjectStore) -> None:
    assert store.locate("models/m/current.json").endswith("models/m/current.json")
