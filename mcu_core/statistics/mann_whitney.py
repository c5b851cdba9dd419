"""Mann and Whitney's test that two groups of scores are exchangeable."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from mcu_core.statistics.scores import Floats

LARGE_SAMPLE = 10
"""From so many samples in each group on, normal approximations are used; below, exact distributions."""

Alternative = Literal["two-sided", "greater"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PValue:
    """Probability of a statistic at least as extreme under the hypothesis, and how it was computed."""

    p_value: float
    method: str


def mann_whitney(forget: Floats, nonmembers: Floats, *, alternative: Alternative = "two-sided") -> PValue:
    """Return the p-value of exchangeability by U, the number of pairs that forget samples win.

    Normal approximation with corrections for ties and continuity where both groups have `LARGE_SAMPLE` scores, the
    exact distribution below.

    Args:
        forget: float64 `[n]`, at least one, finite.
        nonmembers: float64 `[m]`, at least one, finite.
        alternative: `greater` asks only whether forget samples score higher.

    Returns:
        p in (0, 1], and 1 where all scores tie.

    Source: Mann & Whitney (1947), Annals of Mathematical Statistics 18.
    """
    if min(len(forget), len(nonmembers)) < LARGE_SAMPLE:
        p_value = exact_mann_whitney(forget, nonmembers, alternative=alternative)
        return PValue(p_value=p_value, method="exact mann-whitney, ties conservative")
    p_value = float(stats.mannwhitneyu(forget, nonmembers, method="asymptotic", alternative=alternative).pvalue)
    # Not a number where all scores tie: nothing can be told
    return PValue(p_value=1.0 if math.isnan(p_value) else p_value, method="mann-whitney")


def exact_mann_whitney(forget: Floats, nonmembers: Floats, *, alternative: Alternative = "two-sided") -> float:
    """Return the exact p-value of exchangeability, the largest over all ways to break ties.

    Args:
        forget: float64 `[n]`, few.
        nonmembers: float64 `[m]`.
        alternative: `greater` asks only whether forget samples score higher.

    Returns:
        p in (0, 1]; P(p ≤ α) ≤ α under exchangeability, with ties as well.

    Source: Mann & Whitney (1947), Annals of Mathematical Statistics 18.
    """
    n, m = len(forget), len(nonmembers)
    everything = np.concatenate([forget, nonmembers])
    is_forget = np.arange(n + m) < n
    sides = []
    for last in (is_forget, ~is_forget):  # forget above, then below, what it ties with
        ranks = np.empty(n + m)
        ranks[np.lexsort((last, everything))] = np.arange(1, n + m + 1)
        sides.append(ranks)
    highest, lowest = (float(ranks[:n].sum() - n * (n + 1) / 2.0) for ranks in sides)
    center = n * m / 2.0
    if alternative == "two-sided" and lowest <= center <= highest:
        return 1.0
    ranks = sides[1] if alternative == "greater" or lowest > center else sides[0]
    return float(stats.mannwhitneyu(ranks[:n], ranks[n:], method="exact", alternative=alternative).pvalue)
