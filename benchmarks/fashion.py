"""A small deletion problem on Fashion-MNIST whose original has memorised its training images."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcu_core import models
from mcu_core.audit.accuracy import label_probability
from mcu_core.config import ArchitectureConfig, RetrainConfig
from mcu_core.data import BatchReader
from mcu_core.experiments import metrics
from mcu_core.experiments.cells import Metrics
from mcu_core.experiments.metrics import MeasuredRows
from mcu_core.experiments.setup import RandomShare, Samples, World, draw_split, original_recipe
from mcu_core.images import ImageData
from mcu_core.inference import logits
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, stream
from mcu_core.statistics.scores import Floats
from mcu_core.types import Problem, State

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Of Debian's package `dataset-fashion-mnist`."""
SEALED, HELDOUT = 1000, 2000
"""Images besides those of training: the audit's non-members, and D_v with D_t."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deletion:
    """A random tenth of the training images is to be forgotten."""

    problem: Problem
    runtime: Runtime
    recipe: RetrainConfig
    """Of the original and of retraining."""
    rows: MeasuredRows

    def confidences(self, state: State, rows: Tensor) -> Floats:
        """Return p_y of some samples."""
        return label_probability(logits(self.runtime, state, rows), self.problem.data.labels[rows])

    def measure(self, state: State) -> Metrics:
        """Measure a model as the tables do."""
        return metrics.measure(self.runtime, state, self.rows)

    def retrained(self, seed: int) -> State:
        """Return a model that was trained without the images that are to be forgotten."""
        return train_from_scratch(self.runtime, self.problem.retain, self.recipe, stream(seed, "retrained"))


def fashion_mnist(folder: Path, *, images: int) -> Samples:
    """Read so many training images, and after them the sealed and the held-out ones, from its training file."""
    end = images + SEALED
    count = end + HELDOUT
    data = ImageData(
        images=torch.from_numpy(_idx(folder / "train-images-idx3-ubyte.gz", 16)[: count * 784]).view(count, 1, 28, 28),
        labels=torch.from_numpy(_idx(folder / "train-labels-idx1-ubyte.gz", 8)[:count]).long(),
    )
    return Samples(data=data, train=torch.arange(end), heldout=torch.arange(end, count))


def deletion(
    samples: Samples, *, network: str, images: int, seed: int, recipe: RetrainConfig | None = None
) -> Deletion:
    """Train the original on some of the samples.

    Args:
        samples: grey, square, of 10 classes.
        network: its name.
        images: to train on; the rest of the training split are the audit's non-members.
        seed: of everything random.
        recipe: how the original is trained; `None` takes that of the tables.

    Returns:
        The problem with its original.
    """
    data = samples.data
    architecture = ArchitectureConfig(
        name=network, classes=10, channels=1, image_size=data.images.shape[-1], mean=(0.286,), std=(0.353,)
    )
    world = World(
        data="benchmark",
        data_digest=samples.digest,
        architecture=architecture,
        train_images=images,
        seed=seed,
        recipe=recipe or original_recipe(),
    )
    split = draw_split(samples, world, RandomShare())
    runtime = Runtime(
        model=models.build(architecture),
        reader=BatchReader(data=data, architecture=architecture, device=torch.device("cpu")),
        dtype=torch.float32,
        evaluation_batch=world.evaluation_batch,
    )
    train = torch.cat([split.forget, split.retain])
    problem = Problem(
        model=runtime.model,
        architecture=architecture,
        original=train_from_scratch(runtime, train, world.recipe, stream(seed, "original")),
        data=data,
        forget=split.forget,
        retain=split.retain,
        validation=split.validation,
        test=split.test,
    )
    rows = metrics.draw_measured_rows(data.labels, split, seed)
    return Deletion(problem=problem, runtime=runtime, recipe=world.recipe, rows=rows)


def _idx(path: Path, header: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header).copy()
