"""Rates with exact intervals."""

from statsmodels.stats.proportion import proportion_confint

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
    low, high = proportion_confint(successes, count, alpha=1.0 - confidence, method="beta")
    return Estimate(
        value=successes / count,
        low=float(low),
        high=float(high),
        count=count,
        method="clopper-pearson",
    )
