"""Random views of training images: a crop and a mirror for each image of a batch, drawn with the training's seed."""

import math
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.config import Augmentation
from mcu_core.parallel import Part

PAD_SHARE = 8
"""`CROP_FLIP` pads by size // 8: the 4 pixels that are usual on CIFAR's 32."""
AREA_SHARES = (0.08, 1.0)
"""Range of `RESIZED_CROP_FLIP`'s share of the area; Szegedy et al., arXiv 1409.4842, section 6."""
ASPECT_RATIOS = (3.0 / 4.0, 4.0 / 3.0)
"""Range of its width over height; as above."""
TRIES = 10
"""Boxes drawn for an image before it is taken whole; torchvision's number."""


def augment(
    images: Tensor, augmentation: Augmentation, size: int, rng: torch.Generator, *, part: Part | None = None
) -> Tensor:
    """Return a random view of every image, each drawn for itself.

    CROP_FLIP: pad by an eighth of the size with zeros, cut out the old size anywhere, mirror with probability ½.
    RESIZED_CROP_FLIP: cut out 8 % to 100 % of the area at a ratio of ¾ to 4/3, resize, mirror with probability ½.

    Everything random is drawn on the CPU, so that a seed means the same views on every device; torchvision's own random
    transforms draw from the global random state, and one view for a whole batch.

    Args:
        images: uint8 `[B, C, H, W]` on any device; not changed.
        augmentation: which views.
        size: height and width that RESIZED_CROP_FLIP resizes to.
        rng: of the views; NONE draws nothing from it.
        part: which rows of a whole batch the images are. Views are drawn for all of it, so that several ranks see what
            one process would. Without it the images are the whole batch.

    Returns:
        uint8 `[B, C, H, W]`, or `[B, C, size, size]` where views are resized.
    """
    if augmentation is Augmentation.NONE:
        return images
    height, width = images.shape[2:]
    count = len(images) if part is None else part.whole
    match augmentation:
        case Augmentation.CROP_FLIP:
            boxes = _draw_corners(count, height, width, rng)
        case Augmentation.RESIZED_CROP_FLIP:
            boxes = draw_boxes(count, height, width, rng)
        case _:
            assert_never(augmentation)
    mirrored = torch.rand(count, generator=rng) < 0.5
    if part is not None:
        boxes, mirrored = boxes[part.rows], mirrored[part.rows]
    shown = _shifted(images, boxes) if augmentation is Augmentation.CROP_FLIP else _resized(images, boxes, size)
    chosen = mirrored.nonzero().flatten().to(images.device)
    shown[chosen] = shown[chosen].flip(3)
    return shown


def _draw_corners(count: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Return int64 `[N, 2]`: top and left of windows of the old size within the padded images."""
    ranges = (2 * (height // PAD_SHARE) + 1, 2 * (width // PAD_SHARE) + 1)
    return torch.stack([torch.randint(0, places, (count,), generator=rng) for places in ranges], dim=1)


def _shifted(images: Tensor, corners: Tensor) -> Tensor:
    count, _, height, width = images.shape
    down, right = height // PAD_SHARE, width // PAD_SHARE
    padded = functional.pad(images, (right, right, down, down))
    top, left = corners.unbind(dim=1)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, tops, lefts, H, W], without a copy
    each = torch.arange(count, device=images.device)
    cut: Tensor = windows[each, :, top.to(images.device), left.to(images.device)]
    return cut


def _resized(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    views = (
        image[None, :, top : top + height, left : left + width]
        for image, (top, left, height, width) in zip(images, boxes.tolist(), strict=True)
    )
    return torch.cat([_resize(view, size) for view in views])


def _resize(pixels: Tensor, size: int) -> Tensor:
    """Return uint8 `[1, C, size, size]`: the same bits as torchvision.transforms.v2, at half of its time."""
    if pixels.device.type == "cpu":
        return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    # Other devices resize floating-point numbers only; a mean of pixels stays within their range.
    resized = functional.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def draw_boxes(count: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Draw what `RESIZED_CROP_FLIP` cuts out.

    h = √(a H W / r), w = √(a H W r), a uniform over `AREA_SHARES`, log r over `ASPECT_RATIOS`, the place uniform
    over all where the box fits

    Args:
        count: N, boxes to draw.
        height: H of the images.
        width: W of the images.
        rng: of the draw.

    Returns:
        int64 `[N, 4]`: top, left, height, width; inside the image, never empty.

    Source: torchvision's RandomResizedCrop. An image into which none of ten boxes fits is taken whole, torchvision
        takes its middle; of square images that is the same.
    """
    shares = torch.empty(TRIES, count).uniform_(*AREA_SHARES, generator=rng)
    ratios = torch.empty(TRIES, count).uniform_(*(math.log(ratio) for ratio in ASPECT_RATIOS), generator=rng).exp()
    heights = (shares * height * width / ratios).sqrt().round().long()
    widths = (shares * height * width * ratios).sqrt().round().long()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first, each = fits.int().argmax(dim=0), torch.arange(count)
    tall = torch.where(fits[first, each], heights[first, each], height)
    wide = torch.where(fits[first, each], widths[first, each], width)
    top = (torch.rand(count, generator=rng, dtype=torch.float64) * (height - tall + 1)).long()
    left = (torch.rand(count, generator=rng, dtype=torch.float64) * (width - wide + 1)).long()
    return torch.stack([top, left, tall, wide], dim=1)
