"""The blind baseline: can a classifier that sees no model tell the deleted samples from unseen ones?"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mcu_core.statistics.draws import permutation
from mcu_core.statistics.scores import Floats, Integers

FOLDS = 5
DECIMALS = 6
"""Of the scores that are compared: the fit is exact to more, whatever the processor's arithmetic."""


def blind_features(labels: Integers, statistics: Floats) -> Floats:
    """Return the image statistics less their mean over the samples of the same class.

    The groups that are compared are class-matched, so that labels alone tell nothing; what they can do is to say what
    an image of its class looks like. As one column a class they would do harm: of a class with few samples, training
    sets have fewer forget ones exactly where the held-out fold has more, so that the classifier leans the wrong way
    and hides what the statistics tell.

    Args:
        labels: int64 `[N]`, of both groups together.
        statistics: float64 `[N, F]`.

    Returns:
        float64 `[N, F]`.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), statistics.shape[1]))
    np.add.at(sums, codes, statistics)
    features: Floats = statistics - (sums / counts[:, None])[codes]
    return features


def blind_scores(features: Floats, is_forget: NDArray[np.bool_], subjects: Integers, *, seed: int) -> Floats | None:
    """Return how much a logistic regression takes samples that it was not fitted on for forget samples.

    Log-odds without the intercept, x·w, which differs from fold to fold by the share of forget samples alone. Five
    folds, stratified by group, all samples of a subject in one; L2 penalty with C = 1 on standardised features.

    Args:
        features: float64 `[N, F]`.
        is_forget: bool `[N]`.
        subjects: int64 `[N]`.
        seed: of the folds.

    Returns:
        float64 `[N]`, rounded to `DECIMALS`; `None` where either group has fewer than two subjects.
    """
    count = min(FOLDS, *(len(np.unique(subjects[group])) for group in (is_forget, ~is_forget)))
    if count < 2:
        return None
    fold = _folds(is_forget, subjects, count, seed)
    scores = np.zeros(len(is_forget))
    for held in (fold == index for index in range(count)):
        if is_forget[~held].all() or not is_forget[~held].any():
            continue  # nothing to learn: these stay undecided at 0
        scale = StandardScaler().fit(features[~held])
        model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10)
        model.fit(scale.transform(features[~held]), is_forget[~held])
        scores[held] = scale.transform(features[held]) @ model.coef_[0]
    return np.round(scores, DECIMALS)


def _folds(is_forget: NDArray[np.bool_], subjects: Integers, count: int, seed: int) -> Integers:
    """Deal the subjects of each group in random order to the folds; who has samples in both counts as forget."""
    known, codes = np.unique(subjects, return_inverse=True)
    of_forget = np.bincount(codes, is_forget, len(known)) > 0
    order = np.lexsort((permutation(len(known), seed=seed, purpose="blind.folds"), of_forget))
    fold = np.empty(len(known), dtype=np.int64)
    fold[order] = np.arange(len(known)) % count
    return fold[codes]
