"""The audit's tests under the null, and the coverage of its intervals, by simulation.

Each simulated rate must lie within its nominal value plus four standard deviations of the simulation: a correct
procedure fails such a test once in 30 000 times, and the seeds are fixed.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcu_core.statistics.auc import auc
from mcu_core.statistics.scores import Floats
from mcu_core.statistics.tails import exceedance_p_value, tail
from mcu_core.statistics.utility import utility_loss

RUNS = 600

Draw = Callable[[np.random.Generator, int], Floats]


def bound(level: float, runs: int = RUNS) -> float:
    return level + 4.0 * math.sqrt(level * (1.0 - level) / runs)


def normal(rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(size=count)


def coarse(rng: np.random.Generator, count: int) -> Floats:
    """Return scores half of which tie."""
    return np.maximum(rng.normal(size=count), 0.0).round(1)


def heavy(rng: np.random.Generator, count: int) -> Floats:
    return rng.standard_cauchy(size=count)


@pytest.mark.parametrize("draw", [normal, coarse, heavy])
@pytest.mark.parametrize(("n", "m"), [(1, 200), (2, 200), (10, 300), (100, 400)])
def test_unseen_samples_are_rejected_no_more_often_than_the_level(draw: Draw, n: int, m: int) -> None:
    rng = np.random.default_rng([n, m])
    rejected = {"auc": 0, "upper": 0, "lower": 0}
    for _ in range(RUNS):
        forget, nonmembers = draw(rng, n), draw(rng, m)
        rejected["auc"] += auc(forget, nonmembers, confidence=0.95).p_value <= 0.05
        rejected["upper"] += tail(forget, nonmembers, side="upper", level=0.01).p_value <= 0.05
        rejected["lower"] += tail(forget, nonmembers, side="lower", level=0.05).p_value <= 0.05
    for name, count in rejected.items():
        assert count / RUNS <= bound(0.05), name


def test_the_exceedance_p_value_is_the_share_of_random_orders() -> None:
    rng = np.random.default_rng(0)
    n, m, rank, runs = 20, 60, 3, 20_000
    beyond = np.empty(runs, dtype=int)
    for run in range(runs):
        is_forget = rng.permutation(n + m) < n  # from the most extreme on
        third = np.flatnonzero(~is_forget)[rank - 1]
        beyond[run] = is_forget[:third].sum()
    for x in range(6):
        share = float((beyond >= x).mean())
        p_value = exceedance_p_value(x, n, m, rank)
        assert abs(share - p_value) <= 4.0 * math.sqrt(max(p_value * (1 - p_value), 1e-9) / runs)


@pytest.mark.parametrize("shift", [0.0, 0.6, 1.5])
@pytest.mark.parametrize(("n", "m"), [(30, 300), (300, 900)])
def test_the_interval_of_the_auc_covers(shift: float, n: int, m: int) -> None:
    truth = float(stats.norm.cdf(shift / math.sqrt(2.0)))
    rng = np.random.default_rng([n, m])
    covered = 0
    for _ in range(RUNS):
        estimate = auc(rng.normal(shift, 1.0, n), rng.normal(0.0, 1.0, m), confidence=0.95)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 <= covered / RUNS <= 0.97


def paired(rng: np.random.Generator, n: int, lost: float, gained: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    outcome = rng.random(n)
    original = outcome < 0.8
    candidate = original.copy()
    candidate[outcome < lost] = False
    candidate[outcome > 1.0 - gained] = True
    return original, candidate


@pytest.mark.parametrize(("lost", "gained"), [(0.05, 0.05), (0.05, 0.02), (0.02, 0.0), (0.01, 0.01)])
@pytest.mark.parametrize("n", [300, 3000])
def test_the_bound_of_the_utility_loss_covers(n: int, lost: float, gained: float) -> None:
    rng = np.random.default_rng([n, round(1000 * lost), round(1000 * gained)])
    covered = sum(utility_loss(*paired(rng, n, lost, gained), level=0.95).upper >= lost - gained for _ in range(RUNS))
    # A score bound is approximate: two points below nominal are allowed where few images disagree.
    assert covered / RUNS >= 0.93
