"""Decoded images on disk: written and erased row by row, so that a killed job goes on and a deleted sample goes away.

A lineage has its own file for each manifest and shape: no lineage's deletion takes pixels from under another one's job,
and none's job puts back what another one had to erase. The worker writes, the control plane erases after a release;
what both must agree on is here, and knows no torch.

Next to the pixels (uint8, row after row, in the order of the manifest) lie 16 bytes a row, its mark: zeros where the
row is not there, else a digest of the row's number and pixels. A mark is written after its pixels and checked before
they are used, so that neither a crash nor a damaged disk nor a file cut short gives wrong pixels: such a row is decoded
again. A row that nobody has decoded takes no room (the file is sparse).
"""

import fcntl
import hashlib
import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcu_core.whole_files import sync_folder
from service.errors import ObjectStoreUnavailableError

MARK_BYTES = 16
_PIXELS, _MARKS, _LOCK = ".pixels", ".marks", ".lock"
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelCache:
    """Where the decoded images of all lineages lie."""

    root: Path
    """A folder that the service and its jobs both see."""

    def folder(self, lineage: str, manifest_digest: str) -> Path:
        """Return where one lineage keeps what it decoded of one manifest."""
        return self.root / lineage / manifest_digest

    def erase(self, lineage: str, manifest_digest: str, rows: Collection[int]) -> None:
        """Overwrite rows of every file of a lineage and a manifest with zeros, and wait until the disk has them.

        A file that is not what it should be is deleted instead. It can be repeated. That waits for the disk again, even
        where only zeros are read: these may lie in memory alone, when what wrote them was killed or the disk failed it.

        Raises:
            ObjectStoreUnavailableError: it cannot be done now; a job that is decoding keeps it waiting, too.
        """
        folder = self.folder(lineage, manifest_digest)
        with _told("decoded images cannot be erased now"):
            if rows and folder.is_dir():
                with _locked(folder, wait=False):
                    _erase_everywhere(folder, np.asarray(sorted(rows), dtype=np.int64))


class PixelFile:
    """The decoded images of one manifest in one shape; see `open_pixels`. Threads may write different rows at once."""

    def __init__(self, pixels: Path, marks: Path, rows: int, shape: Shape) -> None:
        self._path, self._rows, self._shape = pixels, rows, shape
        self._row_bytes = math.prod(shape)
        self._pixels, self._marks = (os.open(path, os.O_RDWR) for path in (pixels, marks))

    def intact(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each row whether its pixels are there and are those that were written."""
        with _told("decoded images cannot be read now"):
            return np.asarray([self._is_intact(int(row)) for row in rows], dtype=np.bool_)

    def write(self, row: int, pixels: NDArray[np.uint8]) -> None:
        """Keep the pixels of a row, uint8 of the file's shape.

        Raises:
            RuntimeError: they have another shape or type.
            ObjectStoreUnavailableError: the disk does not take them now.
        """
        if pixels.shape != self._shape or pixels.dtype != np.uint8:
            raise RuntimeError(f"pixels must be uint8 {self._shape}, got {pixels.dtype} {pixels.shape}")
        content = pixels.tobytes()
        with _told("decoded images cannot be kept now"):
            _write(self._pixels, content, row * self._row_bytes)
            _write(self._marks, _mark(row, content), row * MARK_BYTES)

    def erase(self, rows: NDArray[np.int64]) -> None:
        """Overwrite the pixels and marks of rows with zeros, where there are any."""
        with _told("decoded images cannot be erased now"):
            _erase(self._pixels, self._marks, rows, self._row_bytes)

    def mapped(self) -> NDArray[np.uint8]:
        """Return all rows, uint8 `[rows, C, H, W]`, read from the disk when they are needed; zeros where there is none.

        What is changed in the array does not reach the file. It stays usable after the file was closed, or deleted.
        """
        with _told("decoded images cannot be read now"):
            return np.memmap(self._path, dtype=np.uint8, mode="c", shape=(self._rows, *self._shape))

    def close(self) -> None:
        """Let go of the file."""
        for file in (self._pixels, self._marks):
            os.close(file)

    def _is_intact(self, row: int) -> bool:
        mark = os.pread(self._marks, MARK_BYTES, row * MARK_BYTES)
        if mark == bytes(MARK_BYTES):
            return False
        return mark == _mark(row, os.pread(self._pixels, self._row_bytes, row * self._row_bytes))


@contextmanager
def open_pixels(folder: Path, *, rows: int, shape: Shape, decoder: str) -> Iterator[PixelFile]:
    """Open the file of a manifest's decoded images, made where there is none, while nobody else writes to it.

    Another job that does so is waited for: it decodes what this one would.

    Args:
        folder: of the lineage and the manifest.
        rows: of the manifest, at least 1.
        shape: of every image.
        decoder: what turns files into pixels, with its version; what another one decoded is deleted.

    Yields:
        The open file.

    Raises:
        ObjectStoreUnavailableError: the disk does not take it now.
    """
    with _told("decoded images cannot be kept now"):
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    with _locked(folder, wait=True):
        with _told("decoded images cannot be kept now"):
            file = _prepared(folder, rows, shape, decoder)
        try:
            yield file
        finally:
            file.close()


def _prepared(folder: Path, rows: int, shape: Shape, decoder: str) -> PixelFile:
    kind = "x".join(str(length) for length in shape)
    name = f"{kind}-{decoder}"
    for other in folder.glob(f"{kind}-*"):
        if other.name not in {name + _PIXELS, name + _MARKS}:
            other.unlink()
    pixels, marks = folder / (name + _PIXELS), folder / (name + _MARKS)
    sizes = {pixels: rows * math.prod(shape), marks: rows * MARK_BYTES}
    if any(not path.exists() or path.stat().st_size != size for path, size in sizes.items()):
        for path, size in sizes.items():
            path.unlink(missing_ok=True)  # never cut short: a running job may have it mapped
            path.touch(_PRIVATE_FILE, exist_ok=False)
            os.truncate(path, size)
    return PixelFile(pixels, marks, rows, shape)


def _erase_everywhere(folder: Path, rows: NDArray[np.int64]) -> None:
    for path in sorted(folder.glob(f"*{_PIXELS}")):
        marks_path = path.with_name(path.name.removesuffix(_PIXELS) + _MARKS)
        row_bytes = _row_bytes(path.name)
        count = path.stat().st_size // row_bytes
        expected = (count * row_bytes, count * MARK_BYTES)
        found = (path.stat().st_size, marks_path.stat().st_size if marks_path.exists() else 0)
        if found != expected or rows[-1] >= count:
            path.unlink()  # it cannot be told where the rows are
            marks_path.unlink(missing_ok=True)
            continue
        pixels, marks = os.open(path, os.O_RDWR), os.open(marks_path, os.O_RDWR)
        try:
            _erase(pixels, marks, rows, row_bytes)
        finally:
            os.close(pixels)
            os.close(marks)
    sync_folder(folder)


def _row_bytes(name: str) -> int:
    """Return the bytes of an image, from the shape that a file's name begins with."""
    return math.prod(int(length) for length in name.partition("-")[0].split("x"))


def _erase(pixels: int, marks: int, rows: NDArray[np.int64], row_bytes: int) -> None:
    # A row without a mark may have pixels: the job that wrote them was killed before it wrote the mark.
    nothing = bytes(row_bytes)
    for row in rows.tolist():
        if os.pread(pixels, row_bytes, row * row_bytes) != nothing:
            _write(pixels, nothing, row * row_bytes)
        if os.pread(marks, MARK_BYTES, row * MARK_BYTES) != bytes(MARK_BYTES):
            _write(marks, bytes(MARK_BYTES), row * MARK_BYTES)
    if len(rows):
        # Also where all was zero: what is read may be what an earlier call wrote and the disk never got.
        os.fsync(pixels)
        os.fsync(marks)


def _mark(row: int, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=MARK_BYTES, person=row.to_bytes(8, "big")).digest()


def _write(file: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[None]:
    with (folder / _LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ObjectStoreUnavailableError("decoded images are being written: erased when that has ended") from error
        yield


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectStoreUnavailableError(f"{what}: {error.strerror}") from error
