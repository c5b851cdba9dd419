"""NegTV: subtract what training on D_f adds."""

import torch

from mcu_core.config import NegTaskVectorConfig
from mcu_core.data import PlainBatches
from mcu_core.losses import cross_entropy
from mcu_core.methods.easy_first import train_on
from mcu_core.params import extrapolate
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, Progress, State, ignore_progress


def neg_task_vector(
    problem: Problem,
    config: NegTaskVectorConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by negating the task vector of D_f.

    θ_u = θ_o - α (θ_ft - θ_o), θ_ft = arg-min CE(D_f) from θ_o

    Args:
        problem: D_f and the original; D_r is not read.
        config: α and the training of θ_ft.
        rng: orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p with the original's buffers, whose BatchNorm statistics must be estimated anew.

    Raises:
        DivergedError: the training diverged.

    Source: Ilharco et al., arXiv 2212.04089; settings of arXiv 2505.10859, appendix D.
    """
    tuned = train_on(
        problem,
        [problem.forget],
        lambda rows: PlainBatches(reader=runtime.reader, rows=rows[0], size=config.train.batch_size),
        cross_entropy,
        config.train,
        rng=rng,
        runtime=runtime,
        progress=progress,
    )
    params = extrapolate(problem.original.params, tuned.params, -config.scale)
    return State(params=params, buffers=problem.original.buffers)
