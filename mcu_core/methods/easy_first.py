"""Training on from the original, with its curriculum: samples in the order in which the original finds them easy."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mcu_core.config import TrainConfig
from mcu_core.curriculum import Make, easy_to_hard
from mcu_core.data import Batches
from mcu_core.inference import sample_losses
from mcu_core.runtime import Runtime
from mcu_core.training import AfterEpoch, Loss, Mask, minimise
from mcu_core.types import Phase, Problem, Progress, State


def paced(problem: Problem, groups: Sequence[Tensor], make: Make, config: TrainConfig, *, runtime: Runtime) -> Batches:
    """Return the batches of a training, easy to hard where the configuration asks for a curriculum.

    The scoring model is the original, and a sample's difficulty its cross-entropy in eval mode and float32. A method
    that does not start at the original has no curriculum: its result would depend on a model that has seen D_f.

    Args:
        problem: the original.
        groups: int64 `[n_i]` each; D_f's first where the batches mix.
        make: makes the batches of groups of samples.
        config: `curriculum_start` and the number of epochs.
        runtime: network, samples, device.

    Returns:
        The batches of the groups themselves where there is no curriculum.
    """
    if config.curriculum_start == 1.0:
        return make(groups)
    difficulties = [sample_losses(runtime.in_float32(), problem.original, rows) for rows in groups]
    return easy_to_hard(groups, difficulties, make, start=config.curriculum_start, epochs=config.epochs)


def train_on(
    problem: Problem,
    groups: Sequence[Tensor],
    make: Make,
    loss: Loss,
    config: TrainConfig,
    *,
    rng: torch.Generator,
    runtime: Runtime,
    progress: Progress,
    lower: str = "pre_unlearning.train.learning_rate",
    mask: Mask | None = None,
    after_epoch: AfterEpoch | None = None,
) -> State:
    """Minimise a loss from θ_o over paced batches: what the methods that start at the original have in common.

    Args:
        problem: the original.
        groups: as in `paced`.
        make: as in `paced`.
        loss: of the logits of one batch.
        config: the training, with its curriculum.
        rng: orders the batches and whatever they draw.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.
        lower: as in `minimise`.
        mask: as in `minimise`.
        after_epoch: as in `minimise`.

    Returns:
        The trained state.

    Raises:
        DivergedError: the training diverged.
    """
    return minimise(
        runtime,
        problem.original,
        loss,
        paced(problem, groups, make, config, runtime=runtime),
        config,
        rng=rng,
        phase=Phase.PRE_UNLEARN,
        lower=lower,
        mask=mask,
        after_epoch=after_epoch,
        progress=progress,
    )
