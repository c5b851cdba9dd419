"""Align: a bounded objective of the pathway without the pathway."""

import torch

from mcu_core.config import AlignConfig
from mcu_core.data import MixedBatches, subsample
from mcu_core.methods.easy_first import train_on
from mcu_core.objectives import bounded_loss
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, Progress, State, ignore_progress


def align(
    problem: Problem,
    config: AlignConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by making D_f look unseen while training on with D_r.

    L = CE(D_r) + λ d(D_f), from θ_o; d is bounded, see `objectives`

    Args:
        problem: D_f, D_r, the original, and what the objective compares with.
        config: objective and training.
        rng: orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        ConfigurationError: the objective needs a teacher that the problem does not have.
        DivergedError: the training diverged.

    Source: ours.
    """
    share = max(1, round(config.retain_share * len(problem.retain)))
    return train_on(
        problem,
        [problem.forget, subsample(problem.retain, share, rng)],
        lambda rows: MixedBatches(
            reader=runtime.reader,
            forget=rows[0],
            retain=rows[1],
            size=config.train.batch_size,
            forget_share=config.forget_share,
        ),
        bounded_loss(problem, config.objective, runtime=runtime),
        config.train,
        rng=rng,
        runtime=runtime,
        lower="pre_unlearning.train.learning_rate or pre_unlearning.objective.weight",
        progress=progress,
    )
