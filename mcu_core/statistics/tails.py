"""Whether too many forget samples lie beyond the most extreme non-members. Higher is more like a member."""

import math
from typing import Literal

import numpy as np
from scipy import stats

from mcu_core.report import TailTest
from mcu_core.statistics.scores import Floats

Side = Literal["upper", "lower"]
SIDES: tuple[Side, Side] = ("upper", "lower")


def tail(forget: Floats, nonmembers: Floats, *, side: Side, level: float) -> TailTest:
    """Test whether too many forget samples lie beyond the non-members' extreme ones.

    The threshold is the k-th most extreme non-member, k = max(1, ⌈level · m⌉). If both groups are exchangeable, the
    number X of forget samples beyond it is negative hypergeometric: of n + m scores in random order, the number of
    forget ones before the k-th non-member. p = P(X ≥ x), exact, although the threshold was set on the same
    non-members. Floats that tie with the threshold do not count as beyond, which is conservative.

    Args:
        forget: float64 `[n]`, at least one, finite.
        nonmembers: float64 `[m]`, at least one, finite.
        side: upper for "more like a member than unseen data ever is", lower for over-forgotten.
        level: nominal share of non-members beyond the threshold.

    Returns:
        Threshold, count, share and p.

    Source: the distribution of exceedances, Wilks (1942), Annals of Mathematical Statistics 13.
    """
    sign = 1.0 if side == "upper" else -1.0
    n, m = len(forget), len(nonmembers)
    rank = min(m, max(1, math.ceil(level * m - 1e-9)))  # 0.07 · 100 is 7.000000000000001
    threshold = sign * float(np.sort(sign * nonmembers)[m - rank])
    beyond = int((sign * forget > sign * threshold).sum())
    return TailTest(
        side=side,
        level=level,
        threshold=threshold,
        forget_count=n,
        beyond=beyond,
        share=beyond / n,
        p_value=exceedance_p_value(beyond, n, m, rank),
    )


def both_tails(forget: Floats, nonmembers: Floats, *, level: float) -> tuple[TailTest, TailTest]:
    """Return the tests of the upper and of the lower tail; see `tail`."""
    return (
        tail(forget, nonmembers, side="upper", level=level),
        tail(forget, nonmembers, side="lower", level=level),
    )


def exceedance_p_value(beyond: int, n: int, m: int, rank: int) -> float:
    """Return P(X ≥ beyond) for X ~ negative hypergeometric: of n members before the `rank`-th of m non-members.

    Args:
        beyond: x, in `[0, n]`.
        n: members.
        m: non-members.
        rank: k, in `[1, m]`.

    Returns:
        p in (0, 1]; 1 for x = 0.
    """
    if beyond == 0:
        return 1.0
    # By the complement: at least x members among the first x + k - 1 of a random order.
    return float(np.clip(stats.hypergeom.sf(beyond - 1, n + m, n, beyond + rank - 1), 0.0, 1.0))
