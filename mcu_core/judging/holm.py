"""Holm's correction for several tests at once."""

from collections.abc import Sequence
from itertools import accumulate

from mcu_core.judging.case import p_of
from mcu_core.report.evidence import Result


def holm_adjusted(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p-values: p~_(i) = max over k <= i of min(1, (K - k + 1) p_(k)).

    Rejecting where p~ <= alpha keeps the family-wise level alpha under any dependence.

    Args:
        p_values: `[K]`, each in [0, 1].

    Returns:
        `[K]`, in the order given.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
        6(2); as adjusted p-values in Wright (1992), Biometrics 48(4).
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    steps = accumulate((min(1.0, (len(order) - rank) * p_values[index]) for rank, index in enumerate(order)), max)
    adjusted = dict(zip(order, steps, strict=True))
    return tuple(adjusted[index] for index in range(len(p_values)))


def adjusted_of(results: Sequence[Result]) -> tuple[float, ...] | None:
    """Return the adjusted p-values of a family of tests; `None` where one lacks its p-value, or all are lacking."""
    p_values = [p for result in results if (p := p_of(result)) is not None]
    return holm_adjusted(p_values) if results and len(p_values) == len(results) else None
