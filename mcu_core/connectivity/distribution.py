"""How far the scores of D_f are from those of data that the model never saw. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

TAIL = 0.05
"""Share of the unseen scores in each tail: with a few hundred of them 1 % would be a handful of samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """Two distributions compared."""

    auc: float
    """P(score of D_f > score of unseen) + ½ P(equal)."""
    total: float
    """0 where centre and both tails agree; at most about 1."""


def distance(forget: NDArray[np.float64], unseen: NDArray[np.float64], *, tail: float = TAIL) -> Distance:
    """Compare two samples of scores in the centre and in both tails.

    d = |AUC - ½| + ½ (|F_f(q_τ) - F_u(q_τ)| + |S_f(q_{1-τ}) - S_u(q_{1-τ})|), where q are quantiles of the unseen
    scores, F is the share at or below and S the share above

    Args:
        forget: φ of D_f, float64 `[n]`, not empty.
        unseen: φ of samples that the model never saw, float64 `[m]`, not empty.
        tail: τ, in (0, ½).

    Returns:
        The AUC and d.
    """
    n, m = len(forget), len(unseen)
    ranks = rankdata(np.concatenate([forget, unseen]))
    auc = float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
    low, high = np.quantile(unseen, [tail, 1.0 - tail])
    lower = abs(float(np.mean(forget <= low)) - float(np.mean(unseen <= low)))
    upper = abs(float(np.mean(forget > high)) - float(np.mean(unseen > high)))
    return Distance(auc=auc, total=abs(auc - 0.5) + (lower + upper) / 2.0)
