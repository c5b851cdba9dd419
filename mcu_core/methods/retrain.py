"""Retrain: the exact method, training from scratch without D_f."""

import torch
from torch import Tensor

from mcu_core.config import RetrainConfig
from mcu_core.data import PlainBatches, subsample
from mcu_core.losses import cross_entropy
from mcu_core.models import initialise
from mcu_core.runtime import Runtime
from mcu_core.training import Epoch, minimise
from mcu_core.types import Phase, Problem, Progress, State, check_labels, ignore_progress

BATCHNORM_IMAGES = 2048
"""Images of D_r on which the statistics of a retrained candidate are estimated: see `batchnorm_sample`."""


def retrain(
    problem: Problem,
    config: RetrainConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Train on D_r from a fresh initialisation, as the original was trained on D_train.

    Args:
        problem: D_r; D_f and the original's weights are not read.
        config: the original's recipe.
        rng: initialises, orders the batches, seeds dropout.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        A state all of whose numbers, the BatchNorm statistics included, come from D_r alone.

    Raises:
        DivergedError: the recipe does not train this network.

    Source: the reference that every unlearning method is compared with (RT in arXiv 2505.10859).
    """
    return train_from_scratch(runtime, problem.retain, config, rng, progress=progress)


def batchnorm_sample(problem: Problem, rng: torch.Generator) -> Tensor:
    """Return the samples of D_r, int64 `[n]`, that the BatchNorm statistics of a retrained candidate come from.

    Those that a training leaves depend on its every batch: nobody could check where they come from without repeating
    it. Estimated anew on known samples they can be checked, as those of every other candidate.
    """
    return subsample(problem.retain, BATCHNORM_IMAGES, rng)


def train_from_scratch(
    runtime: Runtime, rows: Tensor, config: RetrainConfig, rng: torch.Generator, *, progress: Progress = ignore_progress
) -> State:
    """Train on any rows from a fresh initialisation: originals, retrained models, references.

    Args:
        runtime: network, samples, device and arithmetic.
        rows: int64 `[N]`, at least 2.
        config: recipe, and the train accuracy at which it may end early.
        rng: initialises, orders the batches, seeds dropout.
        progress: told at every step, as phase RETRAIN.

    Returns:
        The trained state on the runtime's device.

    Raises:
        DataError: a label lies out of range.
        DivergedError: the recipe does not train this network.
    """
    check_labels(runtime.reader.data.labels[rows], runtime.reader.architecture.classes)
    start = initialise(runtime.reader.architecture, int(torch.randint(2**62, (), generator=rng))).to(runtime.device)
    target = config.stop_at_train_accuracy

    def reached(epoch: Epoch, /) -> bool:
        return target is not None and epoch.accuracy >= target

    return minimise(
        runtime,
        start,
        cross_entropy,
        PlainBatches(reader=runtime.reader, rows=rows, size=config.train.batch_size),
        config.train,
        rng=rng,
        phase=Phase.RETRAIN,
        lower="recipe.train.learning_rate",
        after_epoch=reached,
        progress=progress,
    )
