"""A small real data set on which a model can only memorise: scikit-learn's digits, a third of them mislabelled.

On clean digits an original model is as sure of unseen images as of its own, so that no audit could see a trace.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

from mcu_core.config import ArchitectureConfig, RetrainConfig, Schedule, TrainConfig
from mcu_core.types import ignore_progress
from service.worker.original import train_original

ARCHITECTURE = ArchitectureConfig(name="preresnet8", classes=10, channels=1, image_size=8, mean=(0.305,), std=(0.376,))
RECIPE = RetrainConfig(
    train=TrainConfig(epochs=40, learning_rate=0.1, batch_size=64, schedule=Schedule.ONE_CYCLE),
    stop_at_train_accuracy=0.999,
)
TRAIN_COUNT = 600
FORGET_COUNT = 120
MISLABELLED = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyDigits:
    """The data set and a model that has memorised its training split."""

    manifest: Path
    weights: Path
    train_accuracy: float
    train_ids: tuple[str, ...]

    @property
    def forget_ids(self) -> tuple[str, ...]:
        """Return the ids that a test's ticket names."""
        return self.train_ids[:FORGET_COUNT]


def build(folder: Path) -> NoisyDigits:
    """Write the manifest, train the original, and return both."""
    rng = np.random.default_rng(7)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    labels = digits.target[order].astype(np.int64)
    noisy = rng.random(len(labels)) < MISLABELLED
    labels[noisy] = (labels[noisy] + rng.integers(1, 10, noisy.sum())) % 10
    images = (digits.images[order] * (255 / 16)).astype(np.uint8)
    ids = [f"digit-{index:05d}" for index in order]
    splits = ["train"] * TRAIN_COUNT + ["heldout"] * (len(ids) - TRAIN_COUNT)
    manifest = folder / "digits.parquet"
    table = pa.table({"sample_id": ids, "split": splits, "label": labels, "image": [_png(image) for image in images]})
    pq.write_table(table, manifest)
    weights = folder / "original.safetensors"
    trained = train_original(manifest, ARCHITECTURE, RECIPE, path=weights, seed=1, progress=ignore_progress, threads=1)
    return NoisyDigits(
        manifest=manifest,
        weights=weights,
        train_accuracy=trained.train_accuracy,
        train_ids=tuple(ids[:TRAIN_COUNT]),
    )


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
