"""GradientAscent: climb the loss of what goes."""

import torch

from mcu_core.config import GradientAscentConfig
from mcu_core.data import PlainBatches
from mcu_core.inference import unseen_accuracy
from mcu_core.losses import cross_entropy
from mcu_core.methods.easy_first import train_on
from mcu_core.runtime import Runtime
from mcu_core.training import Epoch
from mcu_core.types import Problem, Progress, State, ignore_progress


def gradient_ascent(
    problem: Problem,
    config: GradientAscentConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by gradient ascent on D_f alone, until its accuracy has fallen far enough.

    L = -CE(D_f), from θ_o

    Args:
        problem: D_f, the original, and D_v for the target.
        config: target and training.
        rng: orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        DivergedError: the ascent got out of hand.

    Source: GA in arXiv 2505.10859, appendix D, after Thudi et al., arXiv 2109.13398. The end by accuracy is ours:
        nothing bounds the ascent. It is judged on the running accuracy of the epoch, before the last steps took effect.
    """
    target = config.stop_at_forget_accuracy
    if target is None:
        target = unseen_accuracy(problem, runtime)

    def is_forgotten(epoch: Epoch, /) -> bool:
        return epoch.accuracy <= target

    return train_on(
        problem,
        [problem.forget],
        lambda rows: PlainBatches(reader=runtime.reader, rows=rows[0], size=config.train.batch_size),
        lambda logits, batch: -cross_entropy(logits, batch),
        config.train,
        rng=rng,
        runtime=runtime,
        after_epoch=is_forgotten,
        progress=progress,
    )
