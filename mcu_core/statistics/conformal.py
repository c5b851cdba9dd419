"""Conformal p-values of single samples: valid for one deleted sample as well as for thousands."""

from dataclasses import dataclass

import numpy as np

from mcu_core.statistics.scores import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConformalP:
    """p-values of each sample among the calibration samples of its class."""

    high: Floats
    """`[n]`; small where a sample scores higher than unseen ones."""
    low: Floats
    """`[n]`; small where it scores lower."""
    pooled: int
    """Samples whose class has no calibration sample, so that those of all classes stand in."""

    @property
    def two(self) -> Floats:
        """Return min(1, 2 min(high, low)), `[n]`."""
        return np.minimum(1.0, 2.0 * np.minimum(self.high, self.low))


def conformal_p_values(scores: Floats, labels: Integers, calibration: Floats, classes: Integers) -> ConformalP:
    """Return the share of calibration samples of the same class that are at least as extreme, the sample counted in.

    p_high = (1 + #{c : s_c ≥ s}) / (1 + m_y),  p_low = (1 + #{c : s_c ≤ s}) / (1 + m_y), over the m_y calibration
    samples of class y. P(p ≤ α) ≤ α for a sample that is exchangeable with them, ties included.

    Args:
        scores: float64 `[n]`, of the samples in question.
        labels: int64 `[n]`.
        calibration: float64 `[m]`, at least one.
        classes: int64 `[m]`, labels of the calibration samples.

    Returns:
        Both p-values of each sample, in (0, 1].

    Source: Vovk et al. (2005), "Algorithmic Learning in a Random World", section 4.5 (Mondrian); class-conditional
        out-of-distribution p-values as in Bates et al. (2023), arXiv 2104.08279.
    """
    high, low, pooled = np.empty(len(scores)), np.empty(len(scores)), 0
    for label in np.unique(labels):
        asked = labels == label
        known = np.sort(calibration[classes == label])
        if not len(known):
            known, pooled = np.sort(calibration), pooled + int(asked.sum())
        at_least = len(known) - np.searchsorted(known, scores[asked], side="left")
        at_most = np.searchsorted(known, scores[asked], side="right")
        high[asked] = (1.0 + at_least) / (1.0 + len(known))
        low[asked] = (1.0 + at_most) / (1.0 + len(known))
    return ConformalP(high=high, low=low, pooled=pooled)


def smallest_adjusted(p_values: Floats) -> float:
    """Return the smallest p-value after Holm's adjustment: min(1, n · min p), valid under any dependence.

    Args:
        p_values: float64 `[n]`, at least one.

    Source: Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    # statsmodels' own collects garbage first, which costs half a second beside torch.
    return float(min(1.0, len(p_values) * p_values.min()))
