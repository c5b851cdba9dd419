"""The quadratic Bezier curve as a placement of the optimisation loop."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.packing import Layout
from mcu_core.types import Params


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """φ(t) = (1 - t)² θ_o + 2 t (1 - t) θ_c + t² θ_p, at one t a call."""

    original: Params
    """θ_o."""
    control: Params
    """θ_c where training starts; tensors that are not trained stay as they are here."""
    end: Params
    """θ_p."""
    positions: Iterator[Tensor]
    """Scalars in [0, 1]."""

    def __call__(self, trained: Params, /) -> tuple[Params, Tensor]:
        """Return all tensors of φ at the next t, and 2 t (1 - t); they share no memory with any others.

        Args:
            trained: θ_c where it is trained.
        """
        weights = _bernstein(next(self.positions))
        point = {name: torch.empty_like(start) for name, start in self.original.items()}
        for name, target in point.items():
            _blend(target, self.original[name], trained.get(name, self.control[name]).detach(), self.end[name], weights)
        return point, weights[1]

    def packed(self, layout: Layout, /) -> "PackedCurve":
        """Return the same curve through flat tensors."""
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
        weights = _bernstein(self._t)
        _blend(point, self._original, control, self._end, weights)
        return weights[1]


def place_on_curve(original: Params, control: Params, end: Params, positions: Iterator[Tensor]) -> Curve:
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
    return Curve(original=original, control=control, end=end, positions=positions)


def uniform_positions(rng: torch.Generator, device: torch.device, count: int) -> Iterator[Tensor]:
    """Yield `count` scalars of U(0, 1), float32 on the device, drawn at once so that no step waits for the host."""
    return iter(torch.rand(count, generator=rng).to(device).unbind())


def _bernstein(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (1 - t)², 2 t (1 - t), t²."""
    rest = 1.0 - t
    return rest * rest, 2.0 * t * rest, t * t


def _blend(target: Tensor, first: Tensor, middle: Tensor, last: Tensor, weights: tuple[Tensor, Tensor, Tensor]) -> None:
    """Write the weighted sum of three tensors over a fourth."""
    torch.mul(middle, weights[1], out=target)
    target.addcmul_(first, weights[0]).addcmul_(last, weights[2])
