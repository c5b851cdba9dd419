"""Decoded images on disk: what is read is what was written, and what was erased is nowhere."""

import errno
import fcntl
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import ObjectStoreUnavailableError
from service.pixel_files import PixelCache, open_pixels

ROWS, SHAPE = 12, (3, 4, 4)
LINEAGE, DIGEST = "faces", "d" * 64
ALL = range(ROWS)


def images(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 256, (ROWS, *SHAPE), dtype=np.uint8)


def keep(folder: Path, rows: Collection[int], seed: int = 0, decoder: str = "first") -> None:
    with open_pixels(folder, rows=ROWS, shape=SHAPE, decoder=decoder) as file:
        for row in rows:
            file.write(row, images(seed)[row])


def intact(folder: Path, decoder: str = "first") -> list[int]:
    with open_pixels(folder, rows=ROWS, shape=SHAPE, decoder=decoder) as file:
        return np.flatnonzero(file.intact(np.arange(ROWS))).tolist()


def mapped(folder: Path) -> NDArray[np.uint8]:
    with open_pixels(folder, rows=ROWS, shape=SHAPE, decoder="first") as file:
        return file.mapped()


def pixel_path(folder: Path) -> Path:
    (path,) = folder.glob("*.pixels")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(root=tmp_path / "decoded")


@pytest.fixture
def folder(cache: PixelCache) -> Path:
    return cache.folder(LINEAGE, DIGEST)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.integers(0, ROWS - 1)), min_size=1, max_size=4))
def test_what_was_written_is_there_when_it_is_opened_again(
    tmp_path_factory: pytest.TempPathFactory, sessions: list[set[int]]
) -> None:
    folder = tmp_path_factory.mktemp("pixels")
    for rows in sessions:
        keep(folder, rows)
    written = set().union(*sessions)
    assert intact(folder) == sorted(written)
    for row in range(ROWS):
        expected = images()[row] if row in written else np.zeros(SHAPE)
        assert np.array_equal(mapped(folder)[row], expected)


def test_the_array_outlives_the_file_and_changes_of_it_stay_private(folder: Path) -> None:
    keep(folder, ALL)
    array = mapped(folder)
    array[3] = 0
    assert 3 in intact(folder)
    pixel_path(folder).unlink()
    assert np.array_equal(array[4], images()[4])


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 4)])
def test_an_image_of_another_shape_is_refused(folder: Path, shape: tuple[int, ...]) -> None:
    with (
        open_pixels(folder, rows=ROWS, shape=SHAPE, decoder="first") as file,
        pytest.raises(RuntimeError, match="must be uint8"),
    ):
        file.write(0, np.zeros(shape, dtype=np.uint8))


def test_only_the_owner_can_read_it(folder: Path) -> None:
    keep(folder, ALL)
    assert [path.stat().st_mode & 0o077 for path in folder.glob("*s")] == [0, 0]


# Damage


@settings(max_examples=40, deadline=None)
@given(st.integers(0, ROWS * 48 - 1), st.integers(1, 255))
def test_a_changed_byte_makes_exactly_its_row_unusable(
    tmp_path_factory: pytest.TempPathFactory, position: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("pixels")
    keep(folder, ALL)
    content = bytearray(pixel_path(folder).read_bytes())
    content[position] ^= change
    pixel_path(folder).write_bytes(content)
    assert intact(folder) == [row for row in range(ROWS) if row != position // 48]


def test_rows_that_changed_places_are_unusable(folder: Path) -> None:
    keep(folder, ALL)
    for path in folder.glob("*s"):  # pixels and marks
        width = path.stat().st_size // ROWS
        content = path.read_bytes()
        path.write_bytes(content[width : 2 * width] + content[:width] + content[2 * width :])
    assert intact(folder) == list(range(2, ROWS))


@pytest.mark.parametrize("suffix", ["pixels", "marks"])
@pytest.mark.parametrize("size", [0, 1, 100, 10_000])
def test_a_file_of_another_length_is_started_anew(folder: Path, suffix: str, size: int) -> None:
    keep(folder, ALL)
    (path,) = folder.glob(f"*.{suffix}")
    os.truncate(path, size)
    assert intact(folder) == []


def test_a_file_that_is_started_anew_leaves_the_old_one_to_those_who_read_it(folder: Path) -> None:
    keep(folder, ALL)
    array = mapped(folder)
    next(folder.glob("*.marks")).unlink()
    keep(folder, ALL, seed=1)
    assert np.array_equal(array, images())


def test_what_another_decoder_made_is_deleted(folder: Path) -> None:
    keep(folder, ALL, decoder="first")
    keep(folder, [1], decoder="second")
    assert {path.name for path in folder.glob("*s")} == {"3x4x4-second.pixels", "3x4x4-second.marks"}


# Erasing


def test_erased_rows_are_zeros_on_the_disk_and_the_others_stay(cache: PixelCache, folder: Path) -> None:
    keep(folder, ALL)
    cache.erase(LINEAGE, DIGEST, {2, 7})
    stored = np.frombuffer(pixel_path(folder).read_bytes(), dtype=np.uint8).reshape(ROWS, -1)
    marks = np.frombuffer(next(folder.glob("*.marks")).read_bytes(), dtype=np.uint8).reshape(ROWS, -1)
    assert np.flatnonzero(~stored.any(axis=1)).tolist() == [2, 7]
    assert np.flatnonzero(~marks.any(axis=1)).tolist() == [2, 7]
    assert intact(folder) == [row for row in range(ROWS) if row not in {2, 7}]


def test_rows_are_erased_in_every_shape_that_was_decoded(cache: PixelCache, folder: Path) -> None:
    keep(folder, ALL)
    with open_pixels(folder, rows=ROWS, shape=(1, 8, 8), decoder="first") as file:
        file.write(5, np.full((1, 8, 8), 9, dtype=np.uint8))
    cache.erase(LINEAGE, DIGEST, {5})
    for path in folder.glob("*.pixels"):
        assert not np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(ROWS, -1)[5].any()


def test_pixels_are_erased_although_their_mark_was_never_written(cache: PixelCache, folder: Path) -> None:
    keep(folder, ALL)
    marks = next(folder.glob("*.marks"))
    marks.write_bytes(bytes(marks.stat().st_size))
    cache.erase(LINEAGE, DIGEST, {2})
    assert not np.frombuffer(pixel_path(folder).read_bytes(), dtype=np.uint8).reshape(ROWS, -1)[2].any()


@pytest.mark.parametrize("suffix", ["pixels", "marks"])
@pytest.mark.parametrize("size", [0, 7, 24 * ROWS, 1000])
def test_a_file_in_which_rows_cannot_be_found_is_deleted(
    cache: PixelCache, folder: Path, suffix: str, size: int
) -> None:
    keep(folder, ALL)
    (path,) = folder.glob(f"*.{suffix}")
    os.truncate(path, size)
    cache.erase(LINEAGE, DIGEST, {2})
    assert list(folder.glob("*.pixels")) == []


def test_another_lineage_keeps_its_pixels(cache: PixelCache, folder: Path) -> None:
    other = cache.folder("voices", DIGEST)
    keep(folder, ALL)
    keep(other, ALL)
    cache.erase(LINEAGE, DIGEST, {2})
    assert intact(other) == list(ALL)


def test_erasing_what_was_never_decoded_does_nothing(cache: PixelCache) -> None:
    cache.erase(LINEAGE, DIGEST, {2})
    assert not cache.root.exists()


def test_erasing_while_a_job_decodes_is_refused_until_it_has_ended(cache: PixelCache, folder: Path) -> None:
    with open_pixels(folder, rows=ROWS, shape=SHAPE, decoder="first") as file:
        file.write(2, images()[2])
        with pytest.raises(ObjectStoreUnavailableError, match="being written"):
            cache.erase(LINEAGE, DIGEST, {2})
    cache.erase(LINEAGE, DIGEST, {2})
    assert intact(folder) == []


def test_a_disk_that_fails_is_told_as_temporary(cache: PixelCache, folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"a file where a folder should be")
    with pytest.raises(ObjectStoreUnavailableError, match="cannot be kept now"):
        keep(folder, ALL)


def test_only_one_writes_at_a_time(folder: Path) -> None:
    with (
        open_pixels(folder, rows=ROWS, shape=SHAPE, decoder="first"),
        (folder / ".lock").open("ab") as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_erasing_again_waits_for_the_disk_again(
    cache: PixelCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder, ALL)
    synced: list[int] = []

    def failing(_file: int) -> None:
        raise OSError(errno.EIO, "the disk does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(ObjectStoreUnavailableError):
            cache.erase(LINEAGE, DIGEST, {2})
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    cache.erase(LINEAGE, DIGEST, {2})
    assert {path.stat().st_ino for path in folder.glob("*s")} <= set(synced)


def test_a_file_that_is_deleted_instead_is_deleted_on_the_disk(
    cache: PixelCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder, ALL)
    os.truncate(pixel_path(folder), 7)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    cache.erase(LINEAGE, DIGEST, {2})
    assert folder.stat().st_ino in synced
