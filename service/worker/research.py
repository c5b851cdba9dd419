"""Data for the researcher's commands: a manifest decoded once, kept as one array, and what its pixels say of it."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import DataError
from mcu_core.experiments.setup import Samples
from mcu_core.types import ImageData
from mcu_core.whole_files import replacing
from service.worker.manifest_file import require_manifest
from service.worker.samples import FORMATS, decode, image_bytes

_ARRAYS = ("images", "labels", "train", "heldout")
_GREY_MODES = frozenset({"1", "L", "I", "I;16", "F"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchData:
    """A data set and the network's input that fits it.

    Attributes:
        architecture: named as asked; classes, channels, size, mean and deviation are the data's.
    """

    samples: Samples
    architecture: ArchitectureConfig


def load_research_data(
    manifest: Path,
    architecture: str,
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ResearchData:
    """Decode a manifest, or read what was decoded before.

    Args:
        manifest: a Parquet file; its `train` and `heldout` are the official splits.
        architecture: name of the network.
        folder: where decoded arrays are kept, by the digest of their manifest.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: an image cannot be decoded, or the manifest lacks a split.
        ManifestError: the file is no manifest.
    """
    arrays = _kept(manifest, folder, progress)
    train, images = torch.from_numpy(arrays["train"]), arrays["images"]
    heldout = torch.from_numpy(arrays["heldout"])
    if not len(train) or not len(heldout):
        raise DataError(f"{manifest.name} has {len(train)} training and {len(heldout)} held-out samples: it needs both")
    mean, std = _statistics(images[arrays["train"]])
    fitted = ArchitectureConfig(
        name=architecture,
        classes=int(arrays["labels"].max()) + 1,
        channels=1 if images.shape[1] == 1 else 3,
        image_size=images.shape[2],
        mean=mean,
        std=std,
    )
    data = ImageData(images=torch.from_numpy(images), labels=torch.from_numpy(arrays["labels"]))
    return ResearchData(samples=Samples(data=data, train=train, heldout=heldout), architecture=fitted)


def _kept(manifest: Path, folder: Path, progress: Callable[[int, int], None]) -> dict[str, NDArray[np.generic]]:
    with manifest.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path = folder / f"{digest}.npz"
    if not path.is_file():
        require_manifest(manifest)
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".decoded-", dir=folder) as pixels:  # what is mapped stays readable
            decoded = decode(manifest, _probe(manifest), folder=Path(pixels), progress=progress)
        with replacing(path) as file:
            np.savez(
                file,
                images=decoded.data.images.numpy(),
                labels=decoded.data.labels.numpy(),
                train=decoded.train,
                heldout=decoded.heldout,
            )
    with np.load(path, allow_pickle=False) as kept:
        return {name: kept[name] for name in _ARRAYS}


def _probe(manifest: Path) -> ArchitectureConfig:
    """Return how to decode a manifest: in the size and with the channels of its first image."""
    with pq.ParquetFile(manifest) as file:
        first = next(file.iter_batches(batch_size=1)).to_pylist()[0]
    try:
        with Image.open(io.BytesIO(image_bytes(first, 0)), formats=FORMATS) as image:
            size, channels = min(image.size), 1 if image.mode in _GREY_MODES else 3
    except OSError as error:
        raise DataError("row 0: the image cannot be decoded") from error
    return ArchitectureConfig(
        name="probe", classes=100_000, channels=1 if channels == 1 else 3, image_size=size,
        mean=(0.0,) * channels, std=(1.0,) * channels,
    )  # fmt: skip


def _statistics(images: NDArray[np.generic]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per channel of pixels scaled to [0, 1], to three digits, from counts of brightness."""
    values = np.arange(256) / 255.0
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].reshape(-1).astype(np.int64), minlength=256)
        mean = float((counts * values).sum() / counts.sum())
        means.append(round(mean, 3))
        deviations.append(max(0.001, round(float((counts * (values - mean) ** 2).sum() / counts.sum()) ** 0.5, 3)))
    return tuple(means), tuple(deviations)
