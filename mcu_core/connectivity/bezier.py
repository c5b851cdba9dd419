"""The quadratic Bezier curve as a placement of the optimisation loop."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.packing import Layout
from mcu_core.types import Params


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """The placement that evaluates the curve at one position a step; what is trained is θ_c.

    φ(t) = (1 - t)² θ_o + 2 t (1 - t) θ_c + t² θ_p, hence ∂φ/∂θ_c = 2 t (1 - t) · I: a plain backward at φ(t) and one
    factor give the gradient of the control point, and no autograd runs through the curve.

    Source: arXiv 2505.10859, equation 1.
    """

    original: Params
    """θ_o."""
    end: Params
    """θ_p."""
    positions: Iterator[Tensor]
    """Scalars in [0, 1] on the parameters' device, one a step."""

    def packed(self, layout: Layout, /) -> "PackedCurve":
        """Return the curve through flat tensors."""
        return PackedCurve(layout.pack(self.original), layout.pack(self.end), self.positions)


class PackedCurve:
    """A curve through flat tensors whose position is a tensor too, so that a CUDA graph can hold its evaluation."""

    def __init__(self, original: Tensor, end: Tensor, positions: Iterator[Tensor]) -> None:
        self._original = original
        self._end = end
        self._positions = positions
        self._t = torch.zeros((), dtype=original.dtype, device=original.device)

    def advance(self) -> None:
        """Go to the next t."""
        self._t.copy_(next(self._positions))

    def write(self, control: Tensor, point: Tensor, /) -> Tensor:
        """Write φ(t) over `point` and return 2 t (1 - t)."""
        rest = 1.0 - self._t
        factor = 2.0 * self._t * rest
        torch.mul(control, factor, out=point)
        point.addcmul_(self._original, rest * rest).addcmul_(self._end, self._t * self._t)
        return factor


def uniform_positions(rng: torch.Generator, device: torch.device, count: int) -> Iterator[Tensor]:
    """Yield `count` scalars of U(0, 1), float32 on the device, drawn at once so that no step waits for the host."""
    return iter(torch.rand(count, generator=rng).to(device).unbind())
