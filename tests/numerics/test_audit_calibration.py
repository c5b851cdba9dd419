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

from mcu_core.judging.equivalence import detection_power
from mcu_core.report.evidence import Role
from mcu_core.statistics.auc import auc
from mcu_core.statistics.conformal import conformal_p_values
from mcu_core.statistics.exchangeable import exchangeability
from mcu_core.statistics.paired_difference import paired_difference
from mcu_core.statistics.results import Comparison, auc_result, primary_results
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


def people(rng: np.random.Generator, count: int, each: int, shift: float = 0.0) -> Floats:
    """Return coarse scores, so that some tie, of `count` people with `each` samples that are much alike."""
    own = np.repeat(rng.normal(shift, 1.0, count), each)
    return (own + rng.normal(0.0, 0.3, count * each)).round(1)


def by_person(rng: np.random.Generator, n: int, m: int, each: int, shift: float = 0.0) -> Comparison:
    return Comparison(
        role=Role.CANDIDATE,
        signal=None,
        forget=people(rng, n, each, shift),
        others=people(rng, m, each),
        forget_subjects=np.repeat(np.arange(n), each),
        other_subjects=n + np.repeat(np.arange(m), each),
        seed=int(rng.integers(2**31)),
    )


@pytest.mark.parametrize(("n", "m"), [(1, 100), (2, 100), (10, 100), (40, 100)])
def test_people_with_several_samples_are_rejected_no_more_often_than_the_level(n: int, m: int) -> None:
    rng = np.random.default_rng([n, m, 5])
    rejected = np.zeros(3)
    for _ in range(RUNS):
        results = primary_results(by_person(rng, n, m, 5), level=0.05, confidence=0.95)
        rejected += [result.p_value is not None and result.p_value <= 0.05 for result in results]
    assert (rejected / RUNS <= bound(0.05)).all()


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_interval_of_the_auc_covers_where_people_have_several_samples(shift: float) -> None:
    rng = np.random.default_rng(11)
    truth = float(stats.norm.cdf(shift / math.sqrt(2.0 * (1.0 + 0.3**2))))
    covered = 0
    for _ in range(RUNS):
        result = auc_result(by_person(rng, 100, 200, 4, shift), confidence=0.95)
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= truth <= result.high
    assert 0.93 <= covered / RUNS <= 0.97


@pytest.mark.parametrize("n", [1, 2, 10, 100])
def test_individuals_that_are_exchangeable_are_called_extreme_no_more_often_than_the_level(n: int) -> None:
    rng = np.random.default_rng([n, 3])
    runs, rejected = 300, 0
    for _ in range(runs):
        scores, labels = coarse(rng, n), rng.integers(0, 3, n)
        found = conformal_p_values(scores, labels, coarse(rng, 400), rng.integers(0, 3, 400))
        rejected += bool(n * found.two.min() <= 0.05)
    assert rejected / runs <= bound(0.05, runs)


@pytest.mark.parametrize(("n", "m"), [(5, 8), (40, 300)])
def test_unseen_samples_are_called_uncalibrated_no_more_often_than_the_level(n: int, m: int) -> None:
    rng = np.random.default_rng([n, m, 4])
    runs, rejected = 300, 0
    for _ in range(runs):
        first, second = rng.integers(0, 3, n), rng.integers(0, 3, m)
        test = exchangeability(first + coarse(rng, n), first, second + coarse(rng, m), second)
        rejected += test is not None and test.p_value <= 0.05
    assert rejected / runs <= bound(0.05, runs)


def test_the_interval_of_a_paired_difference_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(RUNS):
        change = paired_difference(*paired(rng, 200, 0.05, 0.02), confidence=0.95)
        covered += change.low <= 0.02 - 0.05 <= change.high
    assert 0.93 <= covered / RUNS <= 0.99


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


@pytest.mark.parametrize("area", [0.55, 0.6, 0.7, 0.8])
@pytest.mark.parametrize(("n", "m"), [(10, 100), (10, 2000), (30, 300), (100, 900)])
@pytest.mark.parametrize("scores", ["normal", "exponential"])
def test_the_power_is_the_share_of_audits_that_see_the_trace(area: float, n: int, m: int, scores: str) -> None:
    rng = np.random.default_rng([n, m, 6])
    level, seen = 0.05 / 3.0, 0
    for _ in range(RUNS):
        if scores == "normal":
            forget, others = rng.normal(math.sqrt(2.0) * stats.norm.ppf(area), 1.0, n), rng.normal(size=m)
        else:
            forget, others = rng.exponential(area / (1.0 - area), n), rng.exponential(size=m)
        seen += auc(forget, others, confidence=0.95).p_value <= level
    power = detection_power(area, n, m, alpha=level)
    # Normal theory is up to six points too low at n = 10 and an AUC of .8, on the safe side; above it, two points.
    assert power - 0.02 - 4.0 * math.sqrt(power * (1.0 - power) / RUNS) <= seen / RUNS
    assert seen / RUNS <= power + 0.06 + 4.0 * math.sqrt(power * (1.0 - power) / RUNS)


@pytest.mark.parametrize("shift", [0.0, 0.6, 1.5])
@pytest.mark.parametrize(("n", "m"), [(30, 300), (100, 900), (1000, 2000)])
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
