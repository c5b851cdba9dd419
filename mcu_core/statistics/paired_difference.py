"""Difference of two rates on the same images."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Second rate minus first."""

    value: float
    low: float
    high: float


def paired_difference(first: NDArray[np.bool_], second: NDArray[np.bool_], *, confidence: float) -> Difference:
    """Return the change of a rate on the same images with Newcombe's interval.

    With rates p_1, p_2, their Wilson intervals (l_i, u_i) and φ the correlation of both answers:

    low = d - sqrt((p_2 - l_2)² - 2 φ (p_2 - l_2)(u_1 - p_1) + (u_1 - p_1)²)

    with d = p_2 - p_1, and high likewise with u_2 and l_1. φ is corrected for continuity: its numerator,
    both · neither - only_first · only_second, loses n / 2, but not its sign, where it is positive.

    Args:
        first: bool `[n]`, at least one.
        second: bool `[n]`, of the same images.
        confidence: level of the interval.

    Returns:
        Difference and interval within [-1, 1].

    Source: Newcombe (1998), Statistics in Medicine 17:2635, method 10.
    """
    n = len(first)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    p_1, p_2 = (both + only_first) / n, (both + only_second) / n
    (l_1, u_1), (l_2, u_2) = (
        proportion_confint(int(flags.sum()), n, alpha=1.0 - confidence, method="wilson") for flags in (first, second)
    )
    phi = _correlation(both, only_first, only_second, neither)
    down = _distance(p_2 - l_2, u_1 - p_1, phi)
    up = _distance(u_2 - p_2, p_1 - l_1, phi)
    value = p_2 - p_1
    return Difference(value=value, low=max(-1.0, value - down), high=min(1.0, value + up))


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    n = both + only_first + only_second + neither
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    excess = float(both * neither - only_first * only_second)
    return (max(excess - n / 2.0, 0.0) if excess > 0.0 else excess) / math.sqrt(margins)


def _distance(second: float, first: float, phi: float) -> float:
    return math.sqrt(max(0.0, second * second - 2.0 * phi * second * first + first * first))
