"""Data for the researcher's commands: a manifest decoded once, kept as one array, and what its pixels say of it."""

import hashlib
import io
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from mcu_core import models
from mcu_core.config import ArchitectureConfig
from mcu_core.errors import ArchitectureError, DataError
from mcu_core.experiments.setup import Samples
from service.worker.manifest_file import require_manifest
from service.worker.samples import FORMATS, ROWS_PER_READ, decode, image_bytes

MIN_SIZE, MAX_SIZE = 4, 1024
"""Pixels of a side that an architecture takes."""
_GREY_MODES = frozenset({"1", "L", "I", "I;16", "F"})
_USUAL_SIZE = 224
"""Pixels that every network takes, to look whether there is one of a name."""
_ANY_CLASSES = 100_000
"""More than any data set has, before its labels are known."""
_BYTES_PER_COUNT = 1 << 20
"""Pixels that are counted at once, eight bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchData:
    """A data set and the network's input that fits it.

    Attributes:
        architecture: named as asked; classes, mean and deviation are the data's, as are size and channels unless asked.
    """

    samples: Samples
    architecture: ArchitectureConfig


def load_research_data(
    manifest: Path,
    architecture: str,
    folder: Path,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ResearchData:
    """Decode a manifest, or map what was decoded before; what an interrupted call decoded is not decoded again.

    Args:
        manifest: a Parquet file; its `train` and `heldout` are the official splits.
        architecture: name of the network.
        folder: where decoded images are kept, by the digest of their manifest.
        image_size: to which images are resized, in pixels; `None` takes theirs, where they have one size.
        channels: 1 for grey, 3 for RGB, to which images are converted; `None` takes theirs.
        threads: that decode at once.
        progress: called with (rows done, rows in all).

    Returns:
        Images that are read from the disk as they are needed: memory is not filled with them.

    Raises:
        ArchitectureError: there is no such network, or it does not take such images.
        DataError: an image cannot be decoded, the images have no one size, or the manifest lacks a split.
        ManifestError: the file is no manifest.
    """
    require_manifest(manifest)
    if image_size is None or channels is None:
        own_size, own_channels = _own_input(manifest, takes_any_size=image_size is not None)
        image_size, channels = image_size or own_size, channels or own_channels
    network = _unfitted(architecture, _ANY_CLASSES, channels, image_size)
    require_network(architecture)
    _require_fit(network)
    with manifest.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    decoded = decode(manifest, network, folder=folder / digest, threads=threads, progress=progress)
    if not len(decoded.train) or not len(decoded.heldout):
        counts = f"{len(decoded.train)} training and {len(decoded.heldout)} held-out samples"
        raise DataError(f"{manifest.name} has {counts}: it needs both")
    mean, std = _statistics(decoded.data.images.numpy(), decoded.train)
    return ResearchData(
        samples=Samples(
            data=decoded.data, train=torch.from_numpy(decoded.train), heldout=torch.from_numpy(decoded.heldout)
        ),
        architecture=ArchitectureConfig(
            name=architecture,
            classes=int(decoded.data.labels.max()) + 1,
            channels=network.channels,
            image_size=image_size,
            mean=mean,
            std=std,
        ),
    )


def require_network(name: str) -> None:
    """Check that there is a network of a name.

    Raises:
        ArchitectureError: there is none.
    """
    with torch.device("meta"), suppress(NotImplementedError):  # some cannot be built without numbers
        models.build(_unfitted(name, 2, 3, _USUAL_SIZE))


def _require_fit(architecture: ArchitectureConfig) -> None:
    """Check that a network takes its images, by one that has shapes and no numbers.

    Raises:
        ArchitectureError: it does not.
    """
    shape = (1, architecture.channels, architecture.image_size, architecture.image_size)
    try:
        with torch.device("meta"), torch.inference_mode(), suppress(NotImplementedError):
            models.build(architecture).eval()(torch.empty(shape))
    except (ArchitectureError, RuntimeError, ValueError) as error:
        raise ArchitectureError(
            f"{architecture.name} does not take images of {architecture.channels} x {architecture.image_size} x "
            f"{architecture.image_size} ({error}): --channels 3 makes RGB of grey, --image-size resizes"
        ) from error


def _unfitted(name: str, classes: int, channels: int, image_size: int) -> ArchitectureConfig:
    """Return a network's settings before the statistics of its images are known."""
    return ArchitectureConfig(
        name=name, classes=classes, channels=1 if channels == 1 else 3, image_size=image_size, mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )  # fmt: skip


def _own_input(manifest: Path, *, takes_any_size: bool) -> tuple[int, int]:
    """Return side and channels of a manifest's first images; photos of many sizes show that among a few of them."""
    sizes: set[tuple[int, int]] = set()
    modes: set[str] = set()
    with pq.ParquetFile(manifest) as file:
        for row, record in enumerate(next(file.iter_batches(batch_size=ROWS_PER_READ)).to_pylist()):
            content = image_bytes(record, row)
            try:
                with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                    sizes.add(image.size)
                    modes.add(image.mode)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise DataError(f"row {row}: the image cannot be decoded") from error
    (width, height) = min(sizes)
    if not takes_any_size and (len(sizes) > 1 or width != height or not MIN_SIZE <= width <= MAX_SIZE):
        shown = ", ".join(f"{width} x {height}" for width, height in itertools.islice(sorted(sizes), 3))
        raise DataError(
            f"{manifest.name} has images of {shown}{' and other' if len(sizes) > 3 else ''} pixels, which are no "
            f"squares of one size from {MIN_SIZE} to {MAX_SIZE}: --image-size says to which size they are resized"
        )
    return width, 1 if modes <= _GREY_MODES else 3


def _statistics(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per channel of some images' pixels scaled to [0, 1], to three digits.

    They come from counts of brightness, so that a few images are in memory at once.
    """
    channels = images.shape[1]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(rows), step := max(1, _BYTES_PER_COUNT // images[0].size)):
        some = images[rows[start : start + step]]
        for channel in range(channels):
            counts[channel] += np.bincount(some[:, channel].reshape(-1), minlength=256)
    values = np.arange(256) / 255.0
    means, deviations = [], []
    for count in counts:
        mean = float((count * values).sum() / count.sum())
        means.append(round(mean, 3))
        deviations.append(max(0.001, round(float((count * (values - mean) ** 2).sum() / count.sum()) ** 0.5, 3)))
    return tuple(means), tuple(deviations)
