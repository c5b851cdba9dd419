"""L1-sparse: finetune under a pull towards few weights, which leaves no room for what is not trained on."""

import torch
from torch import Tensor

from mcu_core.config import L1SparseConfig
from mcu_core.data import PlainBatches
from mcu_core.losses import cross_entropy
from mcu_core.runtime import Runtime
from mcu_core.training import Epoch, minimise
from mcu_core.types import Params, Phase, Problem, Progress, State, ignore_progress


def l1_sparse(
    problem: Problem,
    config: L1SparseConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by training on with D_r alone, each epoch e of E under a penalty on the size of all weights.

    L = CE(D_r) + γ_e ‖θ‖₁, γ_e = (2 - 2 e / E) γ, from θ_o

    Args:
        problem: D_r and the original; D_f is not read.
        config: γ and the training.
        rng: orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. By subgradients few weights become exactly 0; many become small.

    Raises:
        DivergedError: the training diverged.

    Source: Jia et al., arXiv 2304.04934, with the falling γ that they found to be best.
    """
    shrinkage = Shrinkage(config.gamma, config.train.epochs, runtime.device)
    return minimise(
        runtime,
        problem.original,
        cross_entropy,
        PlainBatches(reader=runtime.reader, rows=problem.retain, size=config.train.batch_size),
        config.train,
        rng=rng,
        phase=Phase.PRE_UNLEARN,
        lower="pre_unlearning.train.learning_rate or pre_unlearning.gamma",
        penalty=shrinkage,
        after_epoch=shrinkage.end_epoch,
        progress=progress,
    )


class Shrinkage:
    """∂(γ_e ‖θ‖₁) = γ_e sign(θ), with a γ_e that falls by a constant from epoch to epoch; sign(0) = 0."""

    def __init__(self, gamma: float, epochs: int, device: torch.device) -> None:
        self._gamma = gamma
        self._epochs = epochs
        # A tensor that is filled anew, so that a recorded step goes on reading it.
        self._now = torch.full((), 2.0 * gamma, device=device)

    def __call__(self, trained: Params, /) -> tuple[Tensor, ...]:
        """Return γ_e sign(θ) by tensor."""
        # torch's multi-tensor names are all private.
        signs = torch._foreach_sign(list(trained.values()))  # noqa: SLF001
        return torch._foreach_mul(signs, self._now)  # noqa: SLF001

    def end_epoch(self, epoch: Epoch, /) -> bool:
        """Lower γ for the next epoch; never ends the training."""
        self._now.fill_((2.0 - 2.0 * (epoch.index + 1) / self._epochs) * self._gamma)
        return False
