"""Plain statistics of images: what tells groups of samples apart without any model."""

import numpy as np
import torch
from torch import Tensor

from mcu_core.images import Images
from mcu_core.statistics.scores import Floats

DARK = 32
"""A pixel below this, an eighth of the range, counts as dark."""


def image_statistics(data: Images, rows: Tensor, *, batch: int) -> Floats:
    """Return five statistics of each image, of all its channels together.

    mean, standard deviation, mean |x(i, j+1) - x(i, j)|, mean |x(i+1, j) - x(i, j)|, share of pixels below ⅛; x in
    [0, 1]; a gradient along a single pixel is 0

    Args:
        data: samples.
        rows: int64 `[N]`, at least one.
        batch: images in memory at once.

    Returns:
        float64 `[N, 5]`.
    """
    return np.concatenate([_statistics(data.pixels(chunk)) for chunk in torch.split(rows, batch)])


def _statistics(pixels: Tensor) -> Floats:
    x = pixels.float().div_(255.0)
    columns = [
        x.mean(dim=(1, 2, 3)),
        x.std(dim=(1, 2, 3), unbiased=False),
        _mean_step(x, 3),
        _mean_step(x, 2),
        (pixels < DARK).float().mean(dim=(1, 2, 3)),
    ]
    statistics: Floats = torch.stack(columns, dim=1).double().cpu().numpy()
    return statistics


def _mean_step(x: Tensor, dim: int) -> Tensor:
    if x.shape[dim] == 1:
        return x.new_zeros(len(x))
    return x.diff(dim=dim).abs_().mean(dim=(1, 2, 3))
