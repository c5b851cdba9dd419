"""Copies of D_f that stay in D_r: what was to be forgotten may live on in them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mcu_core.data import subsample
from mcu_core.images import Images
from mcu_core.report.evidence import Duplicates

THUMBNAIL = 8
"""Pixels a side of the grey thumbnail that near copies are compared by: small shifts and compression vanish in it."""
LEAST_SIMILARITY = 0.99
"""Cosine below which two thumbnails are no near copies, whatever the data."""
FALSE_SHARE = 0.01
"""Of unseen images that may look like a near copy of some image of D_r; the threshold rises until no more do."""
MAX_COMPARED = 10_000
"""Unseen images that the threshold is set by: the share of `FALSE_SHARE` is then known to a fifth of itself."""


def find_duplicates(
    data: Images, forget: Tensor, retain: Tensor, evaluation: Tensor, rng: torch.Generator, *, batch: int
) -> Duplicates:
    """Count samples of D_f with a copy in D_r: of every pixel, or of the same class and nearly alike.

    Near: cosine of the mean-free thumbnails ≥ max(.99, the largest similarity that all but 1 % of C_eval stay below).
    Unseen images are no copies, so what they reach says how alike mere class-mates are.

    Args:
        data: samples, sealed ones too.
        forget: int64 `[n_f]`.
        retain: int64 `[n_r]`.
        evaluation: int64 `[m]`, C_eval.
        rng: draws at most `MAX_COMPARED` of C_eval.
        batch: images of D_r in memory at once; thumbnails of D_f and C_eval are kept.

    Returns:
        The counts; `method` states the threshold and the share of unseen images that it calls near copies.
    """
    exact = _has_copy(data, forget, retain, batch=batch)
    unseen = subsample(evaluation, MAX_COMPARED, rng)
    nearest = _nearest(data, torch.cat([forget, unseen]), retain, batch=batch)
    own, others = nearest[: len(forget)], nearest[len(forget) :]
    threshold = _threshold(others)
    near = (own >= threshold) & ~exact
    share = float((others >= threshold).mean()) if len(others) else 0.0
    return Duplicates(
        exact=int(exact.sum()),
        near=int(near.sum()),
        searched=len(forget),
        method=(
            f"exact: BLAKE2b of the pixels; near: cosine of mean-free {THUMBNAIL}x{THUMBNAIL} grey thumbnails of one "
            f"class at least {threshold:.4f}, which {share:.2%} of {len(others)} unseen images reach as well"
        ),
    )


def _threshold(unseen: NDArray[np.float64]) -> float:
    if not len(unseen):
        return LEAST_SIMILARITY
    allowed = int(FALSE_SHARE * len(unseen))
    # Just above the largest similarity that must stay below.
    limit = np.nextafter(np.sort(unseen)[len(unseen) - allowed - 1], np.inf)
    return float(max(LEAST_SIMILARITY, limit))


def _has_copy(data: Images, rows: Tensor, among: Tensor, *, batch: int) -> NDArray[np.bool_]:
    wanted = list(_digests(data, rows, batch=batch))
    missing = set(wanted)
    found = {digest for digest in _digests(data, among, batch=batch) if digest in missing}
    return np.array([digest in found for digest in wanted], dtype=np.bool_)


def _digests(data: Images, rows: Tensor, *, batch: int) -> Iterator[bytes]:
    for chunk in torch.split(rows, batch):
        for image in data.pixels(chunk).cpu().numpy():
            yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Query:
    """Thumbnails of one class that look for the most similar one."""

    places: Tensor
    """int64 `[q]`, positions among all queries."""
    thumbnails: Tensor
    """float32 `[q, 64]`."""


def _nearest(data: Images, rows: Tensor, among: Tensor, *, batch: int) -> NDArray[np.float64]:
    """Return the largest similarity of each of `rows` to an image of its class, float64 `[q]`; -1 without one."""
    best = torch.full((len(rows),), -1.0)
    thumbnails = torch.cat([_thumbnails(data.pixels(chunk)) for chunk in torch.split(rows, batch)])
    labels = data.labels[rows]
    queries = {
        int(label): _Query(places=places, thumbnails=thumbnails[places])
        for label in torch.unique(labels)
        for places in [(labels == label).nonzero().squeeze(1)]
    }
    for label, query in queries.items():
        mates = among[data.labels[among] == label]
        if not len(mates):  # a class that goes entirely
            continue
        for chunk in torch.split(mates, batch):
            similarity = query.thumbnails @ _thumbnails(data.pixels(chunk)).T
            best[query.places] = torch.maximum(best[query.places], similarity.amax(dim=1))
    nearest: NDArray[np.float64] = best.double().numpy()
    return nearest


def _thumbnails(pixels: Tensor) -> Tensor:
    """Return unit vectors, float32 `[B, 64]`; of an image of one colour, which looks like nothing, the zero vector."""
    grey = pixels.float().mean(dim=1, keepdim=True)
    small = functional.adaptive_avg_pool2d(grey, THUMBNAIL).flatten(1).cpu()
    return functional.normalize(small - small.mean(dim=1, keepdim=True), dim=1, eps=1e-6)
