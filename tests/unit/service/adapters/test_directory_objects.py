"""What a directory of objects promises beyond the contract: nothing half-written, after no failure and no crash."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.adapters import directory_objects
from service.adapters.directory_objects import DirectoryObjectStore
from service.errors import DigestMismatchError, ObjectExistsError, ObjectStoreUnavailableError

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from service.adapters.directory_objects import DirectoryObjectStore
store = DirectoryObjectStore(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(10**9):
    store.overwrite("pointer", str(number).encode() * 50_000)
    store.create(f"objects/{number}", str(number).encode() * 50_000)
"""


def blobs(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".blobs").iterdir())


def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as a full disk does, after some bytes."""

    def chunks_of(data: bytes | Path) -> Iterator[bytes]:
        yield b"some bytes"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory_objects, "chunks_of", chunks_of)


def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryObjectStore(tmp_path)
    etag = store.replace("pointer", b"1", expected_etag=None).etag
    before = blobs(tmp_path)
    small_disk(monkeypatch)

    with pytest.raises(ObjectStoreUnavailableError, match="object a cannot be read or written now: No space left"):
        store.create("a", b"x")
    with pytest.raises(ObjectStoreUnavailableError):
        store.replace("pointer", b"2", expected_etag=etag)
    with pytest.raises(ObjectStoreUnavailableError):
        store.overwrite("pointer", b"3")

    assert blobs(tmp_path) == before
    assert list(store.keys("")) == ["pointer"]
    assert store.read("pointer") == b"1"


def test_a_disk_that_fills_up_at_the_link_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryObjectStore(tmp_path)

    def full(path: Path, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(ObjectStoreUnavailableError):
        store.create("folder/a", b"x")

    assert blobs(tmp_path) == []
    assert list(store.keys("")) == []


def test_a_download_to_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path / "objects")
    store.create("a", b"x")
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ObjectStoreUnavailableError):
        store.download("a", tmp_path / "file" / "copy")


@pytest.mark.parametrize("delay_seconds", [0.0, 0.01, 0.05, 0.2, 0.4])
def test_a_killed_writer_leaves_whole_objects_and_no_rubbish(tmp_path: Path, delay_seconds: float) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay_seconds)
        writer.send_signal(signal.SIGKILL)

    store = DirectoryObjectStore(tmp_path)

    keys = list(store.keys(""))
    for key in keys:
        number = store.read(key)[: len(store.read(key)) // 50_000]
        assert store.read(key) == number * 50_000
    assert len(blobs(tmp_path)) == len(keys)
    assert not [name for name in blobs(tmp_path) if name.endswith((".partial", ".link"))]


def test_opening_a_store_does_not_sweep_what_somebody_is_writing(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path)

    with store._staged(b"bytes") as (staged, digest):
        DirectoryObjectStore(tmp_path)
        assert staged.exists()
        with store._locked():
            store._commit("a", staged, digest)

    assert store.read("a") == b"bytes"


def test_processes_at_once_move_a_pointer_one_after_the_other(tmp_path: Path) -> None:
    increment = """
import os, sys
from pathlib import Path
from service.adapters.directory_objects import DirectoryObjectStore
from service.errors import PointerMovedError
store = DirectoryObjectStore(Path(sys.argv[1]))
done = 0
while done < 10:
    head = store.head("counter")
    value = store.read("counter")
    if store.head("counter") != head:
        continue
    try:
        store.replace("counter", f"{int(value.split()[0]) + 1} by {os.getpid()}".encode(), expected_etag=head.etag)
        done += 1
    except PointerMovedError:
        pass
"""
    store = DirectoryObjectStore(tmp_path)
    store.replace("counter", b"0", expected_etag=None)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda _: subprocess.run([sys.executable, "-c", increment, str(tmp_path)], check=True, timeout=60),
                range(4),
            )
        )

    assert store.read("counter").startswith(b"40 ")
    assert len(blobs(tmp_path)) == 1


def test_an_object_can_be_opened_where_it_is_located_and_the_store_can_be_moved(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path / "objects")
    store.create("models/m/releases/v1/model.bin", b"weights")
    assert Path(store.locate("models/m/releases/v1/model.bin")).read_bytes() == b"weights"

    (tmp_path / "objects").rename(tmp_path / "moved")

    assert DirectoryObjectStore(tmp_path / "moved").read("models/m/releases/v1/model.bin") == b"weights"


def test_deleting_removes_the_bytes_and_empty_folders(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path)
    store.create("a/b/c", b"1")
    store.create("a/d", b"2")

    store.delete("a/b/c")
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "a" / "b").exists()
    store.delete("a/d")

    assert blobs(tmp_path) == []
    assert not (tmp_path / "a").exists()


def test_a_folder_is_no_object_and_an_object_no_folder(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path)
    store.create("a/b", b"1")

    assert store.head("a") is None
    with pytest.raises(ObjectExistsError, match="where a folder is"):
        store.create("a", b"2")
    with pytest.raises(ObjectExistsError, match="under an object"):
        store.create("a/b/c", b"3")
    assert len(blobs(tmp_path)) == 1


def test_a_file_that_somebody_else_put_there_is_not_trusted(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path)
    (tmp_path / "foreign").write_bytes(b"1")

    assert list(store.keys("")) == []
    with pytest.raises(DigestMismatchError, match="has not written"):
        store.read("foreign")


def test_bytes_that_are_gone_are_told_of(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path)
    store.create("a", b"1")
    (tmp_path / ".blobs" / blobs(tmp_path)[0]).unlink()

    with pytest.raises(DigestMismatchError, match="gone"):
        store.read("a")
    store.delete("a")
    assert store.head("a") is None


def test_a_place_that_is_no_directory_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ObjectStoreUnavailableError):
        DirectoryObjectStore(tmp_path / "file")


@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_a_page_keeps_its_ending_behind_the_link(name: str, tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path)
    store.create(f"reports/{name}", b"<!doctype html>")

    assert (tmp_path / "reports" / name).resolve().suffix == Path(name).suffix
    assert store.read(f"reports/{name}") == b"<!doctype html>"
