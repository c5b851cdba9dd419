"""Rates with exact intervals."""

from scipy import stats

from mcu_core.report import Estimate


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
