"""Seeded draws of rows: the same on every machine, with every number of threads and every release of NumPy."""

import hashlib
from collections.abc import Iterator

import numpy as np

from mcu_core.errors import DataError
from mcu_core.statistics.scores import Floats, Integers


def permutation(count: int, *, seed: int, purpose: str) -> Integers:
    """Return the numbers 0 .. count - 1 in random order.

    They are ordered by raw words of PCG64, whose stream NumPy promises not to change, unlike that of its distributions
    (NEP 19).

    Args:
        count: how many.
        seed: of the plan.
        purpose: of the draw, such as `svc.members`; draws of different purposes are independent.

    Returns:
        int64 `[count]`.
    """
    words = _generator(seed, purpose).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def uniforms(repeats: int, count: int, *, seed: int, purpose: str) -> Iterator[Floats]:
    """Yield `repeats` times `count` numbers in [0, 1), multiples of 2⁻⁵³; see `permutation`."""
    generator = _generator(seed, purpose)
    for _ in range(repeats):
        yield (generator.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _generator(seed: int, purpose: str) -> np.random.PCG64:
    stream = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    return np.random.PCG64(np.random.SeedSequence([seed, stream]))


def draw(rows: Integers, count: int, *, seed: int, purpose: str) -> Integers:
    """Return `count` of the rows without replacement in their order, or all where there are no more.

    Args:
        rows: int64 `[n]`.
        count: how many.
        seed: of the plan.
        purpose: see `permutation`.
    """
    if len(rows) <= count:
        return rows
    return rows[np.sort(permutation(len(rows), seed=seed, purpose=purpose)[:count])]


def one_each(subjects: Integers, *, seed: int, purpose: str) -> Integers:
    """Return one random position of each subject, ascending.

    Exact tests of exchangeability need units that are exchangeable: subjects are, a subject's samples are not. A drawn
    sample is one whatever the number of samples that its subject has.

    Args:
        subjects: int64 `[n]`.
        seed: of the plan.
        purpose: see `permutation`.
    """
    order = permutation(len(subjects), seed=seed, purpose=purpose)
    _, first = np.unique(subjects[order], return_index=True)
    return np.sort(order[first])


def match_classes(
    labels: Integers, rows: Integers, wanted: Integers, *, seed: int, purpose: str, most: int | None = None
) -> Integers:
    """Draw as many of `rows` as have the class proportions of `wanted`.

    With n_c rows and a share s_c of class c, floor(s_c · min_c(n_c / s_c)) rows of class c, at least one. Drawing costs
    samples where weighting would not; but the exact tests need exchangeable samples, which weighted ones are not.

    Args:
        labels: int64 `[N]`, of all samples.
        rows: int64 `[n]`, to draw from.
        wanted: int64 `[m]`, labels whose proportions to match; not empty.
        seed: of the plan.
        purpose: see `permutation`.
        most: how many to draw at most, apart from the one of each class.

    Returns:
        int64 `[k]`, without replacement, ascending by class and then as in `rows`.

    Raises:
        DataError: a class of `wanted` has no row at all.
    """
    classes, counts = np.unique(wanted, return_counts=True)
    available = [rows[labels[rows] == label] for label in classes]
    missing = int(sum(count for count, held in zip(counts, available, strict=True) if not len(held)))
    if missing:
        raise DataError(f"{missing} of {len(wanted)} samples are of classes without any unseen sample to compare with")
    # In integers, so that the scarcest class is used up entirely.
    scarcest = min(range(len(classes)), key=lambda index: len(available[index]) / counts[index])
    numerator, denominator = len(available[scarcest]), int(counts[scarcest])
    if most is not None and len(wanted) * numerator > most * denominator:
        numerator, denominator = most, len(wanted)
    return np.concatenate(
        [
            draw(held, max(1, int(count) * numerator // denominator), seed=seed, purpose=f"{purpose}.{label}")
            for label, count, held in zip(classes, counts, available, strict=True)
        ]
    )
