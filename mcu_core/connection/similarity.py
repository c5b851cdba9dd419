"""Whether two models work alike: their answers, their features, and what changed inputs do to them."""

from enum import StrEnum
from typing import assert_never

import torch
from torch import Tensor

from mcu_core.images import ImageData, Images

FEWEST_ALIGNED = 10
"""Samples that an alignment is computed from: of two it is 1 whatever the models, and of few more it says little."""


def agreement(first: Tensor, second: Tensor) -> float:
    """Return the share of samples to which two models answer the same class, rightly or not.

    Args:
        first: `[N, K]`, outputs of one.
        second: `[N, K]`, of the other.

    Returns:
        In [0, 1]; symmetric.
    """
    return float((first.argmax(dim=1) == second.argmax(dim=1)).double().mean())


def linear_cka(first: Tensor, second: Tensor) -> float | None:
    """Return the linear centred kernel alignment of two models' features.

    CKA(X, Y) = ‖Yᵀ X‖²_F / (‖Xᵀ X‖_F ‖Yᵀ Y‖_F) = ⟨X Xᵀ, Y Yᵀ⟩_F / (‖X Xᵀ‖_F ‖Y Yᵀ‖_F), columns centred

    Computed by the second form, whose matrices are as large as the number of samples, not as the features.

    Args:
        first: `[N, d]`, of the same samples as
        second: `[N, e]`.

    Returns:
        In [0, 1], computed in float64; 1 for features that differ by rotation, scale and shift only. `None` for fewer
        than `FEWEST_ALIGNED` samples, and where one model has the same features for all of them.

    Source: Kornblith et al., arXiv 1905.00414, equation 3 with linear kernels.
    """
    x, y = (features.double() - features.double().mean(dim=0) for features in (first, second))
    kernels = x @ x.T, y @ y.T
    norm = float(kernels[0].norm() * kernels[1].norm())
    if norm == 0.0 or len(first) < FEWEST_ALIGNED:
        return None
    return float((kernels[0] * kernels[1]).sum()) / norm


class Counterfactual(StrEnum):
    """An intervention on what should not decide the class."""

    MIRRORED = "mirrored"
    """Left and right exchanged: the shape is that of the class, the side is not."""
    RESTYLED = "restyled"
    """The Fourier amplitudes of another sample under the sample's own phases: outlines stay, texture and contrast do
    not."""


def changed_images(data: Images, rows: Tensor, kind: Counterfactual, rng: torch.Generator) -> ImageData:
    """Return the samples as they would look had one attribute been another, labels kept.

    MIRRORED: x'(i, j) = x(i, W - 1 - j).  RESTYLED: x' = F⁻¹( |F(x_π(n))| e^{i arg F(x_n)} ), π a random permutation,
    per channel, clipped to [0, 255]

    A model that rests on the attribute changes its answer. Two models that are connected on ordinary images but not on
    these rest on different attributes.

    Args:
        data: all samples.
        rows: int64 `[N]`, which to change.
        kind: of the intervention.
        rng: draws π.

    Returns:
        N samples in the order of `rows`.

    Source: the idea of Lubana et al., arXiv 2211.08422, section 3: mode connectivity under interventions on the data.
        Theirs need synthetic cues; these two need none. arXiv 2504.06407 names no intervention.
    """
    images = data.pixels(rows)
    match kind:
        case Counterfactual.MIRRORED:
            changed = images.flip(3)
        case Counterfactual.RESTYLED:
            spectrum = torch.fft.rfft2(images.double())
            others = spectrum[torch.randperm(len(rows), generator=rng)]
            mixed = torch.polar(others.abs(), spectrum.angle())
            size = (images.shape[2], images.shape[3])
            changed = torch.fft.irfft2(mixed, s=size).round().clamp(0, 255).to(torch.uint8)
        case _:
            assert_never(kind)
    return ImageData(images=changed.contiguous(), labels=data.labels[rows])
