"""A small deletion problem on Fashion-MNIST whose original has memorised its training images."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcu_core import models
from mcu_core.audit.accuracy import label_probability
from mcu_core.audit.membership import Confidences, svc_attack
from mcu_core.config import ArchitectureConfig, RetrainConfig, Schedule, TrainConfig
from mcu_core.data import BatchReader
from mcu_core.inference import logits
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, stream
from mcu_core.types import ImageData, Problem, State

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Of Debian's package `dataset-fashion-mnist`."""
HELDOUT = 3000
RECIPE = RetrainConfig(
    train=TrainConfig(epochs=30, learning_rate=0.1, weight_decay=5e-4, schedule=Schedule.ONE_CYCLE),
    stop_at_train_accuracy=0.999,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deletion:
    """A random tenth of the training images is to be forgotten."""

    problem: Problem
    runtime: Runtime
    sealed: Tensor
    """Of the held-out images."""

    def confidences(self, state: State, rows: Tensor) -> Confidences:
        """Return p_y of some samples."""
        return label_probability(logits(self.runtime, state, rows), self.problem.data.labels[rows])

    def metrics(self, state: State) -> dict[str, float]:
        """Return UA, RA, TA and MIA, as fractions."""
        problem = self.problem
        labels = problem.data.labels
        forget, retain, test = (
            float((logits(self.runtime, state, rows).argmax(dim=1) == labels[rows]).float().mean())
            for rows in (problem.forget, problem.retain, problem.test)
        )
        size = min(len(problem.retain), len(problem.test), 1000)
        attack = svc_attack(
            *(
                self.confidences(state, rows)
                for rows in (problem.retain[:size], problem.test[:size], problem.forget, self.sealed)
            )
        )
        return {"UA": 1.0 - forget, "RA": retain, "TA": test, "MIA": attack.nonmember_share}

    def retrained(self, seed: int) -> State:
        """Return a model that was trained without the images that are to be forgotten."""
        return train_from_scratch(self.runtime, self.problem.retain, RECIPE, stream(seed, "retrained"))


def deletion(folder: Path, *, network: str, images: int, seed: int) -> Deletion:
    """Train the original on the first images of the data set."""
    architecture = ArchitectureConfig(name=network, classes=10, channels=1, image_size=28, mean=(0.286,), std=(0.353,))
    count = images + HELDOUT
    data = ImageData(
        images=torch.from_numpy(_idx(folder / "train-images-idx3-ubyte.gz", 16)[: count * 784]).view(count, 1, 28, 28),
        labels=torch.from_numpy(_idx(folder / "train-labels-idx1-ubyte.gz", 8)[:count]).long(),
    )
    runtime = Runtime(
        model=models.build(architecture),
        reader=BatchReader(data=data, architecture=architecture, device=torch.device("cpu")),
        dtype=torch.float32,
        evaluation_batch=128,
    )
    chosen = torch.randperm(images, generator=stream(seed, "forget"))
    forget, retain = chosen[: images // 10].sort().values, chosen[images // 10 :].sort().values
    validation, test, sealed = torch.arange(images, count).split([300, 1700, 1000])  # type: ignore[no-untyped-call]
    original = train_from_scratch(runtime, torch.arange(images), RECIPE, stream(seed, "original"))
    problem = Problem(
        model=runtime.model,
        architecture=architecture,
        original=original,
        data=data,
        forget=forget,
        retain=retain,
        validation=validation,
        test=test,
    )
    return Deletion(problem=problem, runtime=runtime, sealed=sealed)


def average_gap(metrics: Mapping[str, float], truth: Mapping[str, float]) -> float:
    """Return Avg. Gap: the mean distance of the metrics from the retrained model's."""
    return sum(abs(metrics[name] - truth[name]) for name in metrics) / len(metrics)


def _idx(path: Path, header: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header).copy()
