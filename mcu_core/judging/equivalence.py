"""How near to .5 an AUC is shown to be, what could be shown, and what could be seen: normal theory in closed form.

What is computed here is rounded, so that every platform's error function gives the same report.
"""

import math
from statistics import NormalDist

from mcu_core.report.evidence import Result

NORMAL = NormalDist()
DIGITS = 9
"""Decimals of a computed number: far above the rounding error of an error function, far below what a person reads."""


def logit(share: float) -> float:
    """Return log(p / (1 - p)) of p in (0, 1)."""
    return math.log(share / (1.0 - share))


def null_standard_error(n: int, m: int) -> float:
    """Return sqrt((n + m + 1) / 12nm), the AUC's standard error where both samples are exchangeable.

    Source: Mann & Whitney (1947), variance of U divided by (nm)^2; it holds without ties and is an upper bound with.
    """
    return math.sqrt((n + m + 1) / (12.0 * n * m))


def equivalence_p(auc: float, standard_error: float, margin: float) -> float:
    """Return the p-value of two one-sided tests of |AUC - .5| >= delta, on the logit scale.

    p = max(1 - Phi((l + d) / s), Phi((l - d) / s)) = Phi((|l| - d) / s) with l = logit(AUC) and d = logit(.5 + delta);
    logit(.5 - delta) is -d. Where p <= alpha, the 1 - 2 alpha interval lies inside .5 +- delta.

    Args:
        auc: in [0, 1]; 0 and 1 are never equivalent to .5.
        standard_error: s, of logit(AUC), positive.
        margin: delta in [0, .5).

    Returns:
        A probability, to nine decimals.

    Source: Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15(6).
    """
    if not 0.0 < auc < 1.0:
        return 1.0
    return round(NORMAL.cdf((abs(logit(auc)) - logit(0.5 + margin)) / standard_error), DIGITS)


def equivalence_power(n: int, m: int, *, margin: float, alpha: float) -> float:
    """Return the chance that the two one-sided tests show equivalence where the true AUC is .5.

    max(0, 2 Phi(logit(.5 + delta) / s_0 - z_(1 - alpha)) - 1) with s_0 = 4 sqrt((n + m + 1) / 12nm), the standard
    error of the logit: the logit's slope at .5 is 4.

    Args:
        n: deleted samples; below 1 the power is 0.
        m: unseen samples; below 1 the power is 0.
        margin: delta in [0, .5).
        alpha: level of each one-sided test.

    Returns:
        A probability, to nine decimals.
    """
    if n < 1 or m < 1:
        return 0.0
    reach = logit(0.5 + margin) / (4.0 * null_standard_error(n, m)) - NORMAL.inv_cdf(1.0 - alpha)
    return round(max(0.0, 2.0 * NORMAL.cdf(reach) - 1.0), DIGITS)


def provable_margin(n: int, m: int, *, alpha: float, power: float) -> float:
    """Return the smallest delta within which equivalence is shown with that power: (z_(1-alpha) + z_((1+power)/2)) s.

    s = sqrt((n + m + 1) / 12nm) on the AUC's own scale, where delta comes out a little larger than on the logit's:
    what may be said is not overstated. Beyond .5 nothing can be shown.
    """
    return (NORMAL.inv_cdf(1.0 - alpha) + NORMAL.inv_cdf((1.0 + power) / 2.0)) * null_standard_error(n, m)


def half_width(n: int, m: int, *, confidence: float) -> float:
    """Return half the width of an interval on an AUC near .5: z_((1 + confidence) / 2) sqrt((n + m + 1) / 12nm)."""
    return NORMAL.inv_cdf((1.0 + confidence) / 2.0) * null_standard_error(n, m)


def detection_power(area: float | None, n: int, m: int, *, alpha: float) -> float:
    """Return the chance that a two-sided test of AUC = .5 rejects a model whose true AUC is the measured one.

    The test rejects beyond z_(1 - alpha / 2) s_0 with s_0 as in `null_standard_error`; the estimate is taken as normal
    with the variance of Hanley and McNeil (1982), [A(1 - A) + (n - 1)(Q_1 - A^2) + (m - 1)(Q_2 - A^2)] / nm with
    Q_1 = A / (2 - A) and Q_2 = 2A^2 / (1 + A).

    Args:
        area: the estimate A; `None` where there is none.
        n: independent deleted samples.
        m: independent unseen samples.
        alpha: two-sided level.

    Returns:
        A probability, to nine decimals; 0 where A was not estimated or a set is empty.
    """
    if area is None or not 0.0 <= area <= 1.0 or n < 1 or m < 1:
        return 0.0
    critical = NORMAL.inv_cdf(1.0 - alpha / 2.0) * null_standard_error(n, m)
    q_1, q_2 = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = (area * (1.0 - area) + (n - 1) * (q_1 - area**2) + (m - 1) * (q_2 - area**2)) / (n * m)
    if variance <= 0.0:
        return float(abs(area - 0.5) > critical)
    estimate = NormalDist(area, math.sqrt(variance))
    return round(estimate.cdf(0.5 - critical) + 1.0 - estimate.cdf(0.5 + critical), DIGITS)


def interval_at(result: Result, level: float) -> tuple[float, float] | None:
    """Return the interval of an AUC at the gate's own level, whichever the plan's was.

    Each end moves away from the value by z_level / z_plan on the logit scale; an end at 0 or 1 stays.

    Returns:
        Both ends to nine decimals, or `None` where there is no interval around the value.
    """
    value, low, high, given = result.value, result.low, result.high, result.level
    if value is None or low is None or high is None or given is None or not 0.0 < given < 1.0:
        return None
    if not 0.0 <= low <= value <= high <= 1.0:
        return None
    stretch = NORMAL.inv_cdf((1.0 + level) / 2.0) / NORMAL.inv_cdf((1.0 + given) / 2.0)
    return _moved(value, low, stretch), _moved(value, high, stretch)


def increase_lower_bound(before: Result, after: Result, level: float) -> float | None:
    """Return the lower end of the interval of AUC_after - AUC_before from the two AUCs' own intervals.

    (a - b) - sqrt((a - low_a)^2 + (high_b - b)^2). Both AUCs are of the same samples, so they are positively
    correlated and the bound is on the low side.

    Returns:
        The bound to nine decimals, or `None` where one of them has no interval.

    Source: Newcombe (1998), Statistics in Medicine 17(8), method 10; for any parameter Zou & Donner (2008), ibid.
        27(10).
    """
    interval_before, interval_after = interval_at(before, level), interval_at(after, level)
    if before.value is None or after.value is None or interval_before is None or interval_after is None:
        return None
    below, above = after.value - interval_after[0], interval_before[1] - before.value
    return round(after.value - before.value - math.hypot(below, above), DIGITS)


def _moved(value: float, end: float, stretch: float) -> float:
    if not (0.0 < end < 1.0 and 0.0 < value < 1.0):
        return end
    centre = logit(value)
    return round(1.0 / (1.0 + math.exp(-(centre + (logit(end) - centre) * stretch))), DIGITS)
