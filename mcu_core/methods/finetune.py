"""Finetune: train on without D_f, and let the model forget by itself."""

import torch

from mcu_core.config import FinetuneConfig
from mcu_core.data import PlainBatches
from mcu_core.losses import cross_entropy
from mcu_core.methods.easy_first import train_on
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, Progress, State, ignore_progress


def finetune(
    problem: Problem,
    config: FinetuneConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by training on with D_r alone.

    L = CE(D_r), from θ_o

    Args:
        problem: D_r and the original; D_f is not read.
        config: the training.
        rng: orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p.

    Raises:
        DivergedError: the training diverged.

    Source: FT in arXiv 2505.10859, appendix D.
    """
    return train_on(
        problem,
        [problem.retain],
        lambda rows: PlainBatches(reader=runtime.reader, rows=rows[0], size=config.train.batch_size),
        cross_entropy,
        config.train,
        rng=rng,
        runtime=runtime,
        progress=progress,
    )
