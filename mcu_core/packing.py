"""All tensors of a model in one flat tensor, so that an update of a network is one operation and not hundreds."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from mcu_core.types import Params

ALIGNMENT = 16
"""Elements. Every tensor begins at a multiple: 64 bytes in float32, a cache line and more than any kernel asks for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Where each tensor lies in the flat one: those that move first, then the others; gaps are zero.

    Tensors with four axes lie channels-last, as the convolutions of a channels-last batch take them without a
    conversion.
    """

    shapes: Mapping[str, torch.Size]
    """In the order of the flat tensor."""
    offsets: Mapping[str, int]
    """First element of each."""
    moving_size: int
    """Elements that the moving tensors take, gaps included."""
    size: int
    """Elements of the flat tensor."""

    def pack(self, tensors: Params) -> Tensor:
        """Return a flat copy of the tensors that have a place here, in the dtype and on the device of the first.

        Elements of tensors that are not given are zero.
        """
        first = next(iter(tensors.values()))
        flat = torch.zeros(self.size, dtype=first.dtype, device=first.device)
        for name, view in self.views(flat).items():
            if name in tensors:
                view.copy_(tensors[name])
        return flat

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the tensors of a flat one, by name, sharing its memory; of the moving ones only if it ends there."""
        return {
            name: _view(flat[offset : offset + math.prod(self.shapes[name])], self.shapes[name])
            for name, offset in self.offsets.items()
            if offset < len(flat)
        }


def layout_of(tensors: Params, moving: AbstractSet[str]) -> Layout:
    """Lay out tensors in their order, the moving ones first.

    Args:
        tensors: of any shape, empty ones excepted.
        moving: names of those that training changes.

    Returns:
        The layout.
    """
    names = [name for name in tensors if name in moving] + [name for name in tensors if name not in moving]
    sizes = [math.ceil(tensors[name].numel() / ALIGNMENT) * ALIGNMENT for name in names]
    ends = list(accumulate(sizes, initial=0))
    return Layout(
        shapes={name: tensors[name].shape for name in names},
        offsets=dict(zip(names, ends, strict=False)),  # the last end begins nothing
        moving_size=ends[sum(name in moving for name in names)],
        size=ends[-1],
    )


def _view(segment: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return segment.view(shape)
    rows, channels, height, width = shape
    return segment.view(rows, height, width, channels).permute(0, 3, 1, 2)
