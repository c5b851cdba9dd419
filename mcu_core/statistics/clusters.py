"""The AUC where subjects have several samples each: duplicates of a person must not shrink an interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mcu_core.statistics.auc import placements
from mcu_core.statistics.mann_whitney import Alternative
from mcu_core.statistics.scores import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteredVariance:
    """Variance of an AUC whose independent units are subjects."""

    variance: float
    degrees: float
    """Of freedom: Satterthwaite's, from both groups' numbers of subjects; infinite at variance 0."""


def clustered_variance(
    forget: Floats, nonmembers: Floats, forget_subjects: Integers, nonmember_subjects: Integers
) -> ClusteredVariance:
    """Return Obuchowski's variance of the AUC, from placements summed by subject.

    With X_i = Σ (V - A) over subject i's forget samples and Y_i the same over its non-members, I_10, I_01 and I
    subjects having forget samples, non-members and either:

    var = [I_10 / (I_10 - 1)] Σ X_i² / n² + [I_01 / (I_01 - 1)] Σ Y_i² / m² + 2 [I / (I - 1)] Σ X_i Y_i / nm

    With one sample a subject this is DeLong's.

    Args:
        forget: float64 `[n]`.
        nonmembers: float64 `[m]`.
        forget_subjects: int64 `[n]`, of at least two subjects.
        nonmember_subjects: int64 `[m]`, of at least two subjects.

    Returns:
        The variance, at least 0, and Satterthwaite's degrees of freedom.

    Source: Obuchowski (1997), Biometrics 53:567; degrees of freedom as in Brunner & Munzel (2000), Biometrical Journal
        42:17.
    """
    n, m = len(forget), len(nonmembers)
    above, below = placements(forget, nonmembers)
    value = float(above.mean())
    subjects, codes = np.unique(np.concatenate([forget_subjects, nonmember_subjects]), return_inverse=True)
    x = np.bincount(codes[:n], above - value, len(subjects)) / n
    y = np.bincount(codes[n:], below - value, len(subjects)) / m
    i_10, i_01, i = len(np.unique(codes[:n])), len(np.unique(codes[n:])), len(subjects)
    of_forget = float(i_10 / (i_10 - 1) * (x * x).sum())
    of_others = float(i_01 / (i_01 - 1) * (y * y).sum())
    variance = max(0.0, of_forget + of_others + float(2.0 * i / (i - 1) * (x * y).sum()))
    spread = of_forget**2 / (i_10 - 1) + of_others**2 / (i_01 - 1)
    degrees = (of_forget + of_others) ** 2 / spread if spread > 0.0 else math.inf
    return ClusteredVariance(variance=variance, degrees=degrees)


def clustered_p_value(value: float, spread: ClusteredVariance, *, alternative: Alternative) -> float:
    """Return the p-value of A = ½ by (A - ½) / sqrt(var A) and Student's distribution.

    Args:
        value: A.
        spread: of A, with a variance above 0.
        alternative: `greater` asks only whether A is above ½.

    Returns:
        p in [0, 1].

    Source: Brunner & Munzel (2000), with Obuchowski's variance in place of theirs.
    """
    statistic = (value - 0.5) / math.sqrt(spread.variance)
    if alternative == "greater":
        return float(stats.t.sf(statistic, spread.degrees))
    return float(min(1.0, 2.0 * stats.t.sf(abs(statistic), spread.degrees)))
