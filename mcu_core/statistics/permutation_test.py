"""Whether two groups have features of the same mean within each class, by permutation."""

import numpy as np
from numpy.typing import NDArray

from mcu_core.statistics.draws import uniforms
from mcu_core.statistics.scores import Floats, Integers

PERMUTATIONS = 999
"""So that the smallest p-value is .001, below every level at which a control is called off."""
TOLERANCE = 1e-9
"""Relative; of statistics that count as equal. Another order of summation must not break a tie."""


def permutation_p_value(features: Floats, labels: Integers, is_forget: NDArray[np.bool_], *, seed: int) -> float:
    """Return the share of permutations within classes that separate the groups' means as far.

    T = sᵀ (XᵀX)⁺ s,  s = Σ x_i over forget samples;  p = (1 + #{b : T_b ≥ T}) / (1 + B)

    T is the score statistic of a logistic regression of the group on X, so it sees what such a classifier could.

    Args:
        features: X, float64 `[N, F]`, of mean 0 within each class.
        labels: int64 `[N]`.
        is_forget: bool `[N]`.
        seed: of the permutations.

    Returns:
        p in (0, 1]; P(p ≤ α) ≤ α where both groups are exchangeable within each class, whatever their sizes.

    Source: Phipson & Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9:39, for the one that is
        added; the statistic is Hotelling's but for a constant.
    """
    metric = np.linalg.pinv(features.T @ features, hermitian=True)
    _, codes = np.unique(labels, return_inverse=True)
    by_class = np.argsort(codes, kind="stable")
    # Within each class, its forget samples take the first places of a random order.
    starts = np.searchsorted(codes[by_class], np.arange(codes.max() + 1))
    wanted = np.bincount(codes, is_forget).astype(np.int64)
    places = np.concatenate([start + np.arange(count) for start, count in zip(starts, wanted, strict=True)])
    sums = np.stack(
        [
            features[np.argsort(codes + draw, kind="stable")[places]].sum(axis=0)
            for draw in uniforms(PERMUTATIONS, len(codes), seed=seed, purpose="permutation test")
        ]
    )
    observed = features[is_forget].sum(axis=0)
    threshold = float(observed @ metric @ observed) * (1.0 - TOLERANCE)
    reached = int((np.einsum("bf,fg,bg->b", sums, metric, sums) >= threshold).sum())
    return (1.0 + reached) / (1.0 + PERMUTATIONS)
