"""SalUn: wrong answers for what goes, taught to the parameters that hold it."""

import torch

from mcu_core.config import SalUnConfig
from mcu_core.errors import NoEffectError
from mcu_core.masks import select_elements
from mcu_core.methods.random_label import train_on_random_labels
from mcu_core.params import element_count
from mcu_core.runtime import Runtime
from mcu_core.training import mean_gradient
from mcu_core.types import Phase, Problem, Progress, State, ignore_progress


def salun(
    problem: Problem,
    config: SalUnConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by RandomLabel on the elements that matter most to D_f.

    m = top share of |∇ CE(D_f; θ_o)|, ranked globally;  θ ← θ_o + m ⊙ (θ - θ_o) after every step of RandomLabel

    Args:
        problem: D_f, D_r and the original.
        config: share of the mask, what labels are drawn from, and the training.
        rng: draws the labels, orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        DivergedError: the training diverged.
        NoEffectError: the mask holds no element.

    Source: Fan et al., arXiv 2310.12508. Outside the mask the weights stay θ_o bit for bit, momentum and weight decay
        included.
    """
    gradient = mean_gradient(runtime, problem.original, problem.forget, phase=Phase.MASK, progress=progress)
    mask = select_elements(gradient, config.keep)
    if not any(bool(moves.any()) for moves in mask.values()):
        raise NoEffectError(
            f"a share of {config.keep:g} of {element_count(gradient)} elements is none: raise pre_unlearning.keep"
        )
    return train_on_random_labels(problem, config, rng, runtime=runtime, mask=mask, progress=progress)
