"""The quadratic Bezier curve as a placement of the optimisation loop."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mcu_core.training import Placement
from mcu_core.types import Params


def place_on_curve(original: Params, control: Params, end: Params, positions: Iterator[Tensor]) -> Placement:
    """Return the placement that evaluates the curve at one position a call.

    φ(t) = (1 - t)² θ_o + 2 t (1 - t) θ_c + t² θ_p, hence ∂φ/∂θ_c = 2 t (1 - t) · I: a plain backward at φ(t) and one
    factor give the gradient of the control point, and no autograd runs through the curve.

    Args:
        original: θ_o.
        control: θ_c where training starts; tensors that are not trained stay as they are here.
        end: θ_p.
        positions: scalar tensors in [0, 1] on the parameters' device, one a call.

    Returns:
        Trained tensors of θ_c in, all tensors of φ(t) and 2 t (1 - t) out.

    Source: arXiv 2505.10859, equation 1.
    """
    names = list(original)
    starts = [original[name] for name in names]
    ends = [end[name] for name in names]

    def place(trained: Params, /) -> tuple[Params, Tensor | None]:
        t = next(positions)
        factor = 2.0 * t * (1.0 - t)
        middles = [trained.get(name, control[name]).detach() for name in names]
        # torch's multi-tensor names are all private.
        point = torch._foreach_mul(middles, factor)  # noqa: SLF001
        torch._foreach_add_(point, torch._foreach_mul(starts, (1.0 - t) ** 2))  # noqa: SLF001
        torch._foreach_add_(point, torch._foreach_mul(ends, t * t))  # noqa: SLF001
        return dict(zip(names, point, strict=True)), factor

    return place


def uniform_positions(rng: torch.Generator, device: torch.device, count: int) -> Iterator[Tensor]:
    """Yield `count` scalars of U(0, 1), float32 on the device, drawn at once so that no step waits for the host."""
    return iter(torch.rand(count, generator=rng).to(device).unbind())
