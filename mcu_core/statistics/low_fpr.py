"""True positive rate at a low false positive rate, only where samples suffice to speak of it."""

from dataclasses import dataclass

import numpy as np

from mcu_core.report import Estimate
from mcu_core.statistics.rates import rate
from mcu_core.statistics.scores import Floats

LEAST_SAMPLES = {0.01: (2_000, 100), 0.001: (10_000, 1_000)}
"""Non-members and forget samples that each false positive rate needs: 20 and 10 non-members beyond the threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEstimable:
    """Why there is no number."""

    reason: str


def tpr_at_fpr(forget: Floats, nonmembers: Floats, *, fpr: float, confidence: float) -> Estimate | NotEstimable:
    """Return the share of forget samples above a threshold that at most a share `fpr` of non-members exceed.

    TPR = #{s_f > c} / n,  c the smallest non-member score with #{s_n > c} ≤ fpr · m

    Args:
        forget: float64 `[n]`.
        nonmembers: float64 `[m]`.
        fpr: a key of `LEAST_SAMPLES`.
        confidence: level of the Clopper-Pearson interval, which takes the threshold as given.

    Returns:
        The rate, or why there is none.

    Source: Carlini et al. (2022), arXiv 2112.03570, section III.
    """
    least_others, least_forget = LEAST_SAMPLES[fpr]
    if len(nonmembers) < least_others or len(forget) < least_forget:
        return NotEstimable(
            reason=(
                f"needs {least_others} non-members and {least_forget} forget samples, "
                f"there are {len(nonmembers)} and {len(forget)}"
            )
        )
    allowed = int(np.floor(fpr * len(nonmembers) + 1e-9))  # 0.07 · 100 is 7.000000000000001
    threshold = np.sort(nonmembers)[len(nonmembers) - allowed - 1]
    return rate(int((forget > threshold).sum()), len(forget), confidence=confidence)
