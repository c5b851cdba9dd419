"""Training an original model from a manifest, so that there is something to forget from."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mcu_core import checkpoint, models
from mcu_core.config import ArchitectureConfig, Precision, RetrainConfig
from mcu_core.data import BatchReader
from mcu_core.inference import accuracy
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.types import Progress
from service.worker.device import compute_device
from service.worker.samples import decode
from service.worker.threads import use_threads

EVALUATION_BATCH = 128
"""Images a forward pass without gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOriginal:
    """A trained model on disk."""

    path: Path
    digest: str
    train_accuracy: float
    """Measured in eval mode on the whole training split."""


def train_original(
    manifest: Path,
    architecture: ArchitectureConfig,
    recipe: RetrainConfig,
    *,
    path: Path,
    seed: int,
    progress: Progress,
    threads: int | None = None,
) -> TrainedOriginal:
    """Train a model on a manifest's training split and write its weights; `threads` as in `use_threads`.

    Raises:
        DataError: a sample cannot be decoded or has a label out of range.
        DivergedError: the loss stopped being finite.
    """
    threads = use_threads(threads)
    with TemporaryDirectory(prefix=".decoded-", dir=path.parent) as folder:  # what is mapped stays readable
        samples = decode(manifest, architecture, folder=Path(folder), threads=threads)
    rows = torch.from_numpy(samples.train)
    device = compute_device()
    runtime = Runtime(
        model=models.build(architecture),
        reader=BatchReader(data=samples.data, architecture=architecture, device=device),
        dtype=resolve_precision(Precision.AUTO, device),
        evaluation_batch=EVALUATION_BATCH,
    )
    state = train_from_scratch(runtime, rows, recipe, stream(seed, "original"), progress=progress)
    digest = checkpoint.save(state, path)
    reached = accuracy(runtime.in_float32(), state, rows)
    return TrainedOriginal(path=path, digest=digest, train_accuracy=reached)
