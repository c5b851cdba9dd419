"""NegGrad+: descend on what stays while ascending on what goes."""

import torch
from torch import Tensor

from mcu_core.config import NegGradPlusConfig
from mcu_core.data import MixedBatches
from mcu_core.losses import ascend_and_descend
from mcu_core.methods.easy_first import train_on
from mcu_core.runtime import Runtime
from mcu_core.types import Batch, Problem, Progress, State, ignore_progress


def neggrad_plus(
    problem: Problem,
    config: NegGradPlusConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by gradient ascent on D_f balanced with descent on D_r.

    L = CE(D_r) - β CE(D_f) over mixed batches, from θ_o; where a ceiling is set it bounds the CE of each sample of D_f

    Args:
        problem: D_f, D_r and the original.
        config: β and the training.
        rng: orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        DivergedError: the ascent, which nothing bounds without a ceiling, got out of hand.

    Source: Kurmanji et al., arXiv 2302.09880, with both parts in each batch and without their α on the retain loss;
        settings of arXiv 2505.10859, appendix D.
    """

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return ascend_and_descend(logits, batch, config.beta, ceiling=config.ceiling)

    return train_on(
        problem,
        [problem.forget, problem.retain],
        lambda rows: MixedBatches(reader=runtime.reader, forget=rows[0], retain=rows[1], size=config.train.batch_size),
        loss,
        config.train,
        rng=rng,
        runtime=runtime,
        lower="pre_unlearning.train.learning_rate or pre_unlearning.beta",
        progress=progress,
    )
