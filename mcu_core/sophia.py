"""Sophia-G: a clipped second-order update from a diagonal estimate of the curvature."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

PERIOD = 10
"""k: steps between two estimates of the curvature; the source's."""
CURVATURE_MEMORY = 0.99
"""β₂; the source's."""
SCALE = 0.05
"""γ: share of the curvature that divides; the source's for the Gauss-Newton-Bartlett estimate."""
FLOOR = 1e-12
"""ε: flatter directions than this are clipped, never divided by nothing; the source's."""


class SophiaG(torch.optim.Optimizer):
    """Descends by momentum over curvature, at most by η an element.

    m ← β₁ m + (1 - β₁) g;  every k steps h ← β₂ h + (1 - β₂) ĥ, the first step included;
    θ ← θ - η λ θ;  θ ← θ - η clip(m / max(γ h, ε), ±1)

    It is kept apart from where gradients come from: whoever steps asks `is_estimate_due` first and, if so, hands ĥ to
    `take_estimate`. Where ĥ is small the update is η times the sign of m: rates are those of sign descent, about 1e-3.

    Args:
        params: leaves, changed in place; their gradients lie in `.grad`.
        learning_rate: η, a number, or a scalar tensor that is changed in place.
        momentum: β₁ in [0, 1).
        weight_decay: λ, decoupled.

    Source: Liu et al., arXiv 2305.14342, algorithm 3. A kept library (`pytorch_optimizer.SophiaH`) has the update with
        another estimate and takes ours from outside; for these few lines it is not worth a dependency of the worker.
    """

    def __init__(
        self, params: Sequence[Tensor], *, learning_rate: float | Tensor, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay})
        self._leaves = list(params)
        self._mean = [torch.zeros_like(tensor) for tensor in self._leaves]
        self._curvature = [torch.zeros_like(tensor) for tensor in self._leaves]
        self._steps = 0

    @property
    def is_estimate_due(self) -> bool:
        """Return whether the next step wants a new estimate of the curvature."""
        return self._steps % PERIOD == 0

    def take_estimate(self, estimate: Sequence[Tensor]) -> None:
        """Let h forget a little and learn from ĥ, not negative, one tensor a leaf."""
        torch._foreach_lerp_(self._curvature, list(estimate), 1.0 - CURVATURE_MEMORY)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # torch's overloads
        """Move every leaf once.

        Raises:
            RuntimeError: a closure was given; the gradients must be there already.
        """
        if closure is not None:
            raise RuntimeError("SophiaG takes no closure: put the gradients into `.grad` first")
        group = self.param_groups[0]
        gradients = [tensor.grad for tensor in self._leaves if tensor.grad is not None]
        torch._foreach_lerp_(self._mean, gradients, 1.0 - group["momentum"])
        divisors = torch._foreach_mul(self._curvature, SCALE)  # noqa: SLF001
        torch._foreach_clamp_min_(divisors, FLOOR)
        updates = torch._foreach_div(self._mean, divisors)  # noqa: SLF001
        torch._foreach_clamp_min_(updates, -1.0)
        torch._foreach_clamp_max_(updates, 1.0)
        torch._foreach_mul_(self._leaves, 1.0 - group["lr"] * group["weight_decay"])
        torch._foreach_mul_(updates, group["lr"])
        torch._foreach_sub_(self._leaves, updates)
        self._steps += 1


def bartlett_estimate(
    logits: Tensor, moving: Sequence[Tensor], factor: Tensor | None, *, retain_graph: bool = False
) -> tuple[Tensor, ...]:
    """Estimate the diagonal of the Gauss-Newton matrix of the cross-entropy from one forward.

    ŷ_i ~ softmax(z_i);  ĝ = f ∇ (1/B) Σ_i CE(z_i, ŷ_i);  ĥ = B ĝ ⊙ ĝ

    Its expectation is the diagonal of (1/B) Σ_i Jᵢᵀ Hᵢ Jᵢ, since gradients of independent samples at labels of the
    model's own have mean 0. The labels of the data play no part, nor does the objective: where that ascends on D_f,
    its own curvature is negative there and could not divide.

    Args:
        logits: float32 `[B, K]` of a train-mode forward, with its graph.
        moving: the tensors that they were computed from.
        factor: ∂evaluated/∂trained where another tensor is trained than is evaluated; `None` is 1.
        retain_graph: whether the graph is read again afterwards.

    Returns:
        ĥ, one tensor a tensor of `moving`, not negative. Labels are drawn from torch's global generator, as dropout's
        masks are.

    Source: arXiv 2305.14342, algorithm 2; it takes another batch than the step's, we take the same to save a forward.
    """
    sampled = torch.multinomial(logits.detach().softmax(dim=1), 1).squeeze(1)
    loss = functional.cross_entropy(logits, sampled)
    gradients = torch.autograd.grad(loss, list(moving), retain_graph=retain_graph)
    scale = float(len(logits)) if factor is None else len(logits) * factor * factor
    # torch's multi-tensor names are all private.
    return tuple(torch._foreach_mul(torch._foreach_mul(gradients, gradients), scale))  # noqa: SLF001
