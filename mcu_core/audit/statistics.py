"""Estimates, tests and intervals of the audit. Numbers in, parts of the report out; no tensors, no models.

Higher scores mean "more like a member" throughout.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from mcu_core.report import AucEstimate, Estimate, TailTest, UtilityLoss

Scores = NDArray[np.float64]

LARGE_SAMPLE = 10
"""From so many samples in each group on, normal approximations are used; below, exact distributions."""


def rate(successes: int, count: int, *, confidence: float) -> Estimate:
    """Return a rate with its Clopper-Pearson interval.

    Args:
        successes: in `[0, count]`.
        count: at least 1.
        confidence: level of the interval.

    Returns:
        successes / count and an interval that covers at least at its level.

    Source: Clopper & Pearson (1934), Biometrika 26.
    """
    interval = stats.binomtest(successes, count).proportion_ci(confidence_level=confidence, method="exact")
    return Estimate(
        value=successes / count,
        low=float(interval.low),
        high=float(interval.high),
        count=count,
        method="clopper-pearson",
    )


def auc(forget: Scores, nonmembers: Scores, *, confidence: float) -> AucEstimate:
    """Return the AUC of members against non-members with interval and p-value.

    AUC = P(s_f > s_n) + ½ P(s_f = s_n)

    The interval is DeLong's on the logit scale; where it breaks down, at perfect separation, Newcombe's. The p-value is
    Mann-Whitney's, two-sided, because the hypothesis is that both groups are exchangeable: normal approximation with
    corrections for ties and continuity from `LARGE_SAMPLE` on, exact below, where no interval is given.

    Args:
        forget: float64 `[n]`, at least one, finite.
        nonmembers: float64 `[m]`, at least one, finite.
        confidence: level of the interval.

    Returns:
        The estimate; `method` names interval and test.

    Source: DeLong et al. (1988), Biometrics 44; logit scale: Pepe (2003), section 5.2.6; Newcombe (2006), Statistics in
        Medicine 25:559, method 5; Mann & Whitney (1947).
    """
    value = _auc(forget, nonmembers)
    if min(len(forget), len(nonmembers)) < LARGE_SAMPLE:
        low, high, interval = None, None, f"interval not estimable below {LARGE_SAMPLE} samples a group"
        p_value, test = exact_mann_whitney(forget, nonmembers), "exact mann-whitney, ties conservative"
    else:
        low, high, interval = _auc_interval(value, forget, nonmembers, confidence)
        p_value, test = _mann_whitney(forget, nonmembers), "mann-whitney"
    return AucEstimate(
        value=value,
        low=low,
        high=high,
        p_value=p_value,
        forget_count=len(forget),
        nonmember_count=len(nonmembers),
        method=f"{interval}; p: {test}",
    )


def _auc(forget: Scores, nonmembers: Scores) -> float:
    ranks = stats.rankdata(np.concatenate([forget, nonmembers]))
    count = len(forget)
    return float((ranks[:count].sum() - count * (count + 1) / 2.0) / (count * len(nonmembers)))


def _auc_interval(value: float, forget: Scores, nonmembers: Scores, confidence: float) -> tuple[float, float, str]:
    z = float(stats.norm.ppf(0.5 + confidence / 2.0))
    variance = delong_variance(forget, nonmembers)
    if 0.0 < value < 1.0 and variance > 0.0:
        logit = math.log(value / (1.0 - value))
        width = z * math.sqrt(variance) / (value * (1.0 - value))
        return _expit(logit - width), _expit(logit + width), "delong-logit"
    return *_newcombe(value, len(forget), len(nonmembers), z), "newcombe"


def delong_variance(forget: Scores, nonmembers: Scores) -> float:
    """Return DeLong's variance of the AUC.

    var = S_10 / n + S_01 / m, the sample variances of each group's placements among the other

    Args:
        forget: float64 `[n]`, at least two.
        nonmembers: float64 `[m]`, at least two.

    Returns:
        A number ≥ 0; 0 at perfect separation.

    Source: DeLong et al. (1988); by mid-ranks as in Sun & Xu (2014), IEEE SPL 21.
    """
    n, m = len(forget), len(nonmembers)
    together = stats.rankdata(np.concatenate([forget, nonmembers]))
    above = (together[:n] - stats.rankdata(forget)) / m
    below = 1.0 - (together[n:] - stats.rankdata(nonmembers)) / n
    return float(above.var(ddof=1) / n + below.var(ddof=1) / m)


def _newcombe(value: float, n: int, m: int, z: float) -> tuple[float, float]:
    """Solve |θ - value| = z sqrt(V(θ)) on either side, V(θ) being the variance under exponential scores."""
    mean_size = (n + m) / 2.0

    def variance(theta: float) -> float:
        inflation = 1.0 + (mean_size - 1.0) * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta))
        return theta * (1.0 - theta) * inflation / (n * m)

    def excess(theta: float) -> float:
        return (theta - value) ** 2 - z * z * variance(theta)

    tiny = 1e-12
    low = float(brentq(excess, tiny, value - tiny)) if value > 2 * tiny else 0.0
    high = float(brentq(excess, value + tiny, 1.0 - tiny)) if value < 1.0 - 2 * tiny else 1.0
    return low, high


def _mann_whitney(forget: Scores, nonmembers: Scores) -> float:
    p_value = float(stats.mannwhitneyu(forget, nonmembers, method="asymptotic").pvalue)
    return 1.0 if math.isnan(p_value) else p_value  # all scores tie: nothing can be told


def exact_mann_whitney(forget: Scores, nonmembers: Scores) -> float:
    """Return the exact two-sided p-value of exchangeability, the largest over all ways to break ties.

    Args:
        forget: float64 `[n]`, few.
        nonmembers: float64 `[m]`.

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
    if lowest <= center <= highest:
        return 1.0
    ranks = sides[1] if lowest > center else sides[0]
    return float(stats.mannwhitneyu(ranks[:n], ranks[n:], method="exact").pvalue)


def tail(forget: Scores, nonmembers: Scores, *, side: Literal["upper", "lower"], level: float) -> TailTest:
    """Test whether too many forget samples lie beyond the non-members' extreme ones.

    The threshold is the k-th most extreme non-member, k = max(1, ⌈level · m⌉). If both groups are exchangeable, the
    number X of forget samples beyond it is negative hypergeometric: of n + m scores in random order, the number of
    forget ones before the k-th non-member. p = P(X ≥ x), exact, although the threshold was set on the same
    non-members. Scores that tie with the threshold do not count as beyond, which is conservative.

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


def both_tails(forget: Scores, nonmembers: Scores, *, level: float) -> tuple[TailTest, TailTest]:
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


def utility_loss(original_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], *, level: float) -> UtilityLoss:
    """Return the loss of accuracy on the same images with a one-sided upper bound.

    With b images that only the original and c that only the candidate answers rightly, of n: loss = (b - c) / n. The
    bound is the δ at which Tango's score statistic (b - c - nδ) / sqrt(n (2 q + δ (1 - δ))) reaches -z, q being the
    restricted maximum-likelihood estimate of P(only the candidate is right).

    Args:
        original_right: bool `[n]`.
        candidate_right: bool `[n]`, of the same images.
        level: of the bound, such as .95.

    Returns:
        Value and bound, both in [-1, 1].

    Source: Tango (1998), Statistics in Medicine 17:891. A score bound covers also where b + c is small, unlike Wald's.
    """
    n = len(original_right)
    only_original = int((original_right & ~candidate_right).sum())
    only_candidate = int((~original_right & candidate_right).sum())
    z = float(stats.norm.ppf(level))
    value = (only_original - only_candidate) / n

    def excess(delta: float) -> float:
        return _tango(delta, only_original, only_candidate, n) + z

    nearly_one = 1.0 - 1e-12
    upper = 1.0 if excess(nearly_one) > 0.0 else float(brentq(excess, min(value, nearly_one), nearly_one))
    return UtilityLoss(value=value, upper=upper, level=level, method="tango-score")


def _tango(delta: float, only_original: int, only_candidate: int, n: int) -> float:
    linear = -only_original - only_candidate + (2.0 * n - only_original + only_candidate) * delta
    constant = -only_candidate * delta * (1.0 - delta)
    restricted = (math.sqrt(max(0.0, linear * linear - 8.0 * n * constant)) - linear) / (4.0 * n)
    variance = n * (2.0 * restricted + delta * (1.0 - delta))
    difference = only_original - only_candidate - n * delta
    if variance > 0.0:
        return difference / math.sqrt(variance)
    return math.copysign(math.inf, difference) if difference else 0.0


def _expit(x: float) -> float:
    return float(1.0 / (1.0 + math.exp(-x))) if x >= 0.0 else float(math.exp(x) / (1.0 + math.exp(x)))
