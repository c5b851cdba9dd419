"""Decoding the samples of a manifest into one uint8 array. Rows that a run must not read are never decoded."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import DataError
from mcu_core.types import ImageData
from service.domain.manifest import Split

ROWS_PER_READ = 1024
"""Rows of the manifest held in memory at once."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""Formats that are decoded; every further one is code that hostile bytes can reach."""
MAX_PIXELS = 64 * 1024 * 1024
"""An image of more pixels is refused before it is decoded: a small file can unfold to gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSamples:
    """Samples of one manifest as the core takes them.

    Attributes:
        data: decoded images and labels; position p holds the sample of manifest row `rows[p]`.
        rows: manifest row numbers, ascending.
        train: positions of the training split.
        heldout: positions of the held-out split.
        heldout_subjects: subject of each held-out sample, or its own id where it has none.
    """

    data: ImageData
    rows: NDArray[np.int64]
    train: NDArray[np.int64]
    heldout: NDArray[np.int64]
    heldout_subjects: tuple[str, ...]

    def positions(self, rows: Sequence[int]) -> torch.Tensor:
        """Return the positions of manifest rows.

        Raises:
            DataError: a row was not decoded.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        found = np.searchsorted(self.rows, wanted)
        if np.any(found >= len(self.rows)) or np.any(self.rows[np.minimum(found, len(self.rows) - 1)] != wanted):
            raise DataError("the resolution names rows that the manifest does not have")
        return torch.from_numpy(found.astype(np.int64))


def decode(
    manifest: Path,
    architecture: ArchitectureConfig,
    *,
    left_out: Sequence[int] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DecodedSamples:
    """Decode every sample of a manifest but those left out.

    Args:
        manifest: a Parquet file that the control plane has inspected.
        architecture: size and channels of the images, number of classes.
        left_out: manifest rows never to be read, such as what was forgotten before.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: an image is missing, corrupt or not the one of its digest, or a label is out of range; the message
            names the row.
    """
    skipped = frozenset(left_out)
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    rows: list[int] = []
    splits: list[bool] = []
    subjects: list[str] = []
    with pq.ParquetFile(manifest) as file:
        total = file.metadata.num_rows
        for row, record in enumerate(_records(file)):
            if row in skipped:
                continue
            if not 0 <= record["label"] < architecture.classes:
                raise DataError(f"row {row}: label {record['label']} is not in 0 to {architecture.classes - 1}")
            images.append(_pixels(image_bytes(record, row), row, architecture))
            labels.append(record["label"])
            rows.append(row)
            splits.append(record["split"] == Split.TRAIN)
            if record["split"] != Split.TRAIN:
                subjects.append(record.get("subject_id") or record["sample_id"])
            if row % ROWS_PER_READ == 0:
                progress(row, total)
    is_train = np.asarray(splits)
    return DecodedSamples(
        data=ImageData(images=torch.from_numpy(np.stack(images)), labels=torch.tensor(labels, dtype=torch.int64)),
        rows=np.asarray(rows, dtype=np.int64),
        train=np.flatnonzero(is_train),
        heldout=np.flatnonzero(~is_train),
        heldout_subjects=tuple(subjects),
    )


def _records(file: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    columns = [name for name in file.schema_arrow.names if name in _COLUMNS]
    batch: pa.RecordBatch
    for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=columns):
        yield from batch.to_pylist()


_COLUMNS = frozenset({"sample_id", "split", "label", "image", "uri", "subject_id", "sha256"})


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
