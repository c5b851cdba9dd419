"""Whether two sets of unseen samples score alike: the audit's instrument is off where they do not."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mcu_core.statistics.scores import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchangeability:
    """Kolmogorov and Smirnov's two-sample test."""

    statistic: float
    """Largest distance of both distribution functions."""
    p_value: float
    first_count: int
    second_count: int


def exchangeability(
    first: Floats, first_labels: Integers, second: Floats, second_labels: Integers
) -> Exchangeability | None:
    """Test whether two groups score alike within each class.

    Each score is replaced by its mid-rank among both groups' scores of its class, as a share of the class, and the
    ranks are compared over all classes: D = sup |F_1 - F_2|. Comparing raw scores instead would call an instrument off
    because one group happens to have more of an easy class. Classes that only one group has are left out.

    Args:
        first: float64 `[n]`.
        first_labels: int64 `[n]`.
        second: float64 `[m]`.
        second_labels: int64 `[m]`.

    Returns:
        The test by the asymptotic distribution, p = 1 for one score against one; `None` where no class is in both
        groups.

    Source: Smirnov (1948), Annals of Mathematical Statistics 19:279. Deviation: ranks by class, which make p, if
        anything, too large: the shares of each class then contribute no variance.
    """
    scores, labels = np.concatenate([first, second]), np.concatenate([first_labels, second_labels])
    ranks, is_first = np.full(len(scores), np.nan), np.arange(len(scores)) < len(first)
    for label in np.intersect1d(first_labels, second_labels):
        members = labels == label
        ranks[members] = (stats.rankdata(scores[members]) - 0.5) / int(members.sum())
    used = ~np.isnan(ranks)
    if not used.any():
        return None
    of_first, of_second = ranks[used & is_first], ranks[used & ~is_first]
    result = stats.ks_2samp(of_first, of_second, method="asymp") if len(of_first) * len(of_second) > 1 else None
    return Exchangeability(
        statistic=float(result.statistic) if result else float(of_first[0] != of_second[0]),
        p_value=float(result.pvalue) if result else 1.0,
        first_count=len(of_first),
        second_count=len(of_second),
    )
