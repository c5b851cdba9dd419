"""Decoding the samples of a manifest into one mapped uint8 array. Rows that a run must not read are never decoded."""

import hashlib
import io
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import DataError
from mcu_core.images import ImageData
from service.domain.manifest import Split
from service.pixel_files import PixelFile, open_pixels

ROWS_PER_READ = 256
"""Rows of the manifest held in memory at once."""
DECODER = f"pillow-{PIL.__version__}"
"""Another version may round otherwise."""
_FACTS = frozenset({"sample_id", "split", "label", "subject_id"})
_PEOPLE = _FACTS - {"label"}
_SPLIT_NUMBERS = {split.value: number for number, split in enumerate(Split)}
_IMAGES = frozenset({"image", "uri", "sha256"})
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""Formats that are decoded; every further one is code that hostile bytes can reach."""
MAX_PIXELS = 64 * 1024 * 1024
"""An image of more pixels is refused before it is decoded: a small file can unfold to gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSamples:
    """Samples of one manifest as the core takes them: the position of a sample is its row in the manifest.

    Attributes:
        data: decoded images and labels of all rows; one that was left out is black and has the label -1.
        readable: bool by row: whether it was not left out.
        train: positions of the training split.
        heldout: positions of the held-out split.
        canary: positions of canaries that no model was trained on; neither of the two splits has them.
        heldout_subjects: subject of each held-out sample, or its own id where it has none.
        subjects: of every row, the first row of the same person.
    """

    data: ImageData
    readable: NDArray[np.bool_]
    train: NDArray[np.int64]
    heldout: NDArray[np.int64]
    canary: NDArray[np.int64]
    heldout_subjects: tuple[str, ...]
    subjects: NDArray[np.int64]

    def positions(self, rows: Sequence[int]) -> torch.Tensor:
        """Return the positions of manifest rows.

        Raises:
            DataError: a row was not decoded.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        known = (wanted >= 0) & (wanted < len(self.readable))
        if not known.all() or not self.readable[wanted].all():
            raise DataError("the resolution names rows that the manifest does not have")
        return torch.from_numpy(wanted)


def decode(
    manifest: Path,
    architecture: ArchitectureConfig,
    *,
    folder: Path,
    left_out: Sequence[int] = (),
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DecodedSamples:
    """Decode every sample of a manifest but those left out, into a file that is mapped into memory.

    What an earlier call left in the folder is checked and used, so that a job that was killed goes on where it was;
    what is left out now is erased from it.

    Args:
        manifest: a Parquet file that the control plane has inspected.
        architecture: size and channels of the images, number of classes.
        folder: keeps what was decoded of this manifest; see `pixel_files`.
        left_out: manifest rows never to be read, such as what was forgotten before.
        threads: that decode at once.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: an image is missing, corrupt or not the one of its digest, or a label is out of range; the message
            names the row.
        ObjectStoreUnavailableError: the disk does not take what is decoded.
    """
    size = architecture.image_size
    shape = (architecture.channels, size, size)
    with pq.ParquetFile(manifest) as file:
        table = _Table.read(file, architecture, left_out)
        with open_pixels(folder, rows=len(table.labels), shape=shape, decoder=DECODER) as pixels:
            pixels.erase(np.flatnonzero(~table.readable))
            with ThreadPoolExecutor(threads) as pool:
                wanted = np.flatnonzero(table.readable)
                missing = _missing(pixels, wanted, pool)
                done = len(wanted) - len(missing)
                progress(done, len(wanted))
                work = partial(_decode_row, pixels, architecture)
                for rows, records in _records_of(file, missing):
                    for _ in pool.map(work, rows, records):
                        done += 1
                        progress(done, len(wanted))
            images = pixels.mapped()
    return DecodedSamples(
        data=ImageData(images=torch.from_numpy(images), labels=torch.from_numpy(table.labels)),
        readable=table.readable,
        train=table.positions(Split.TRAIN),
        heldout=table.positions(Split.HELDOUT),
        canary=table.positions(Split.CANARY),
        heldout_subjects=table.heldout_subjects,
        subjects=table.subjects,
    )


def training_subjects(manifest: Path, left_out: Collection[int]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the rows of the training split, ascending, and the subject of each, or its own id where it has none.

    Args:
        manifest: a Parquet file that the control plane has inspected.
        left_out: rows never to be read.
    """
    rows: list[int] = []
    subjects: list[str] = []
    excluded = frozenset(left_out)
    with pq.ParquetFile(manifest) as file:
        for row, record in enumerate(_records(file, _PEOPLE)):
            if record["split"] == Split.TRAIN and row not in excluded:
                rows.append(row)
                subjects.append(record.get("subject_id") or record["sample_id"])
    return np.asarray(rows, dtype=np.int64), tuple(subjects)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What a manifest says of its rows, without the images."""

    labels: NDArray[np.int64]
    splits: NDArray[np.int8]
    """Number of each row's split in `_SPLIT_NUMBERS`; -1 where it was left out."""
    readable: NDArray[np.bool_]
    heldout_subjects: tuple[str, ...]
    subjects: NDArray[np.int64]

    @staticmethod
    def read(file: pq.ParquetFile, architecture: ArchitectureConfig, left_out: Sequence[int]) -> "_Table":
        rows = file.metadata.num_rows
        readable = np.ones(rows, dtype=np.bool_)
        readable[np.asarray(left_out, dtype=np.int64)] = False
        labels = np.full(rows, -1, dtype=np.int64)
        splits = np.full(rows, -1, dtype=np.int8)
        heldout_subjects: list[str] = []
        subjects = np.arange(rows, dtype=np.int64)
        first_rows: dict[str, int] = {}
        for row, record in enumerate(_records(file, _FACTS)):
            if not readable[row]:
                continue
            if not 0 <= record["label"] < architecture.classes:
                raise DataError(f"row {row}: label {record['label']} is not in 0 to {architecture.classes - 1}")
            labels[row] = record["label"]
            if record["split"] not in _SPLIT_NUMBERS:
                raise DataError(f"row {row}: the split is none of {', '.join(_SPLIT_NUMBERS)}")
            splits[row] = _SPLIT_NUMBERS[record["split"]]
            if record["split"] == Split.HELDOUT:
                heldout_subjects.append(record.get("subject_id") or record["sample_id"])
            if record.get("subject_id"):
                subjects[row] = first_rows.setdefault(record["subject_id"], row)
        return _Table(
            labels=labels,
            splits=splits,
            readable=readable,
            heldout_subjects=tuple(heldout_subjects),
            subjects=subjects,
        )

    def positions(self, split: Split) -> NDArray[np.int64]:
        """Return the readable rows of a split, ascending."""
        return np.flatnonzero(self.splits == _SPLIT_NUMBERS[split.value])


def _missing(pixels: PixelFile, wanted: NDArray[np.int64], pool: ThreadPoolExecutor) -> NDArray[np.int64]:
    """Return which of the rows must be decoded."""
    blocks = np.array_split(wanted, max(1, math.ceil(len(wanted) / ROWS_PER_READ)))
    intact: NDArray[np.bool_] = np.concatenate(list(pool.map(pixels.intact, blocks)))
    return wanted[~intact]


def _decode_row(pixels: PixelFile, architecture: ArchitectureConfig, row: int, record: dict[str, Any]) -> None:
    pixels.write(row, _pixels(image_bytes(record, row), row, architecture))


def _records_of(file: pq.ParquetFile, rows: NDArray[np.int64]) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Yield numbers and records of some rows, a few at a time; row groups without any are not read."""
    first = 0
    for group in range(file.metadata.num_row_groups):
        end = first + file.metadata.row_group(group).num_rows
        if ((rows >= first) & (rows < end)).any():
            for batch in file.iter_batches(ROWS_PER_READ, row_groups=[group], columns=_present(file, _IMAGES)):
                here = rows[(rows >= first) & (rows < first + len(batch))]
                yield here.tolist(), batch.take(pa.array(here - first)).to_pylist()
                first += len(batch)
        first = end


def _records(file: pq.ParquetFile, columns: frozenset[str]) -> Iterator[dict[str, Any]]:
    batch: pa.RecordBatch
    for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=_present(file, columns)):
        yield from batch.to_pylist()


def _present(file: pq.ParquetFile, columns: frozenset[str]) -> list[str]:
    return [name for name in file.schema_arrow.names if name in columns]


def image_bytes(record: dict[str, Any], row: int) -> bytes:
    """Return the file of a manifest row's image, embedded or referred to.

    Raises:
        DataError: it is missing, or not the one that its digest promises; the message names the row.
    """
    content: bytes | None = record.get("image")
    if content is None:
        content = _file_content(record.get("uri"), row)
    promised = record.get("sha256")
    if promised and hashlib.sha256(content).hexdigest() != promised.lower():
        raise DataError(f"row {row}: the image is not the one that its sha256 promises")
    return content


def _file_content(uri: str | None, row: int) -> bytes:
    if not uri:
        raise DataError(f"row {row}: neither an image nor a uri")
    parts = urlparse(uri)
    if parts.scheme != "file":
        raise DataError(f"row {row}: images are read from file: URIs, not from {parts.scheme or 'relative paths'}")
    try:
        return Path(url2pathname(parts.path)).read_bytes()
    except OSError as error:
        raise DataError(f"row {row}: the image file cannot be read ({error.strerror})") from error


def _pixels(content: bytes, row: int, architecture: ArchitectureConfig) -> NDArray[np.uint8]:
    """Return uint8 `[C, H, W]` of the size that the architecture takes."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"row {row}: the image has {image.width} x {image.height} pixels")
            picture = image.convert("L" if architecture.channels == 1 else "RGB")
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"row {row}: the image cannot be decoded") from error
    size = (architecture.image_size, architecture.image_size)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[None] if architecture.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
