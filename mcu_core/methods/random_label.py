"""RandomLabel: teach wrong answers to what goes."""

import torch

from mcu_core.config import RandomLabelConfig, SalUnConfig
from mcu_core.data import RelabelledBatches
from mcu_core.losses import cross_entropy
from mcu_core.methods.easy_first import train_on
from mcu_core.runtime import Runtime
from mcu_core.training import Mask
from mcu_core.types import Problem, Progress, State, ignore_progress


def random_label(
    problem: Problem,
    config: RandomLabelConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by training on D_r together with D_f under random labels.

    L = CE(D_r ∪ {(x, y') : x ∈ D_f}), from θ_o, y' drawn anew each epoch

    Args:
        problem: D_f, D_r and the original.
        config: what labels are drawn from, and the training.
        rng: draws the labels, orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        DivergedError: the training diverged.

    Source: RL in arXiv 2505.10859, appendix D, after Golatkar et al., arXiv 1911.04933.
    """
    return train_on_random_labels(problem, config, rng, runtime=runtime, mask=None, progress=progress)


def train_on_random_labels(
    problem: Problem,
    config: RandomLabelConfig | SalUnConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    mask: Mask | None,
    progress: Progress,
) -> State:
    """Train as `random_label` does, on the parameters of a mask alone; `None` moves all."""
    return train_on(
        problem,
        [problem.forget, problem.retain],
        lambda rows: RelabelledBatches(
            reader=runtime.reader,
            forget=rows[0],
            retain=rows[1],
            size=config.train.batch_size,
            labels=config.labels,
        ),
        cross_entropy,
        config.train,
        rng=rng,
        runtime=runtime,
        mask=mask,
        progress=progress,
    )
