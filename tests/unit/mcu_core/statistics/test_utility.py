import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from mcu_core.statistics.utility import design_effect, utility_loss


def right(*flags: int) -> NDArray[np.bool_]:
    return np.array(flags, dtype=bool)


def test_a_loss_is_the_difference_of_the_accuracies() -> None:
    loss = utility_loss(right(1, 1, 1, 0), right(1, 0, 0, 1), level=0.95)
    assert loss.value == pytest.approx(0.25)
    assert loss.upper > loss.value


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_the_bound_solves_the_score_equation(lost: int, gained: int, same: int) -> None:
    n = lost + gained + same
    if n == 0:
        return
    original = np.array([True] * lost + [False] * gained + [True] * same)
    candidate = np.array([False] * lost + [True] * gained + [True] * same)
    loss = utility_loss(original, candidate, level=0.95)
    assert loss.value <= loss.upper <= 1.0
    if loss.upper < 1.0 - 1e-9:
        # The restricted maximum of the likelihood by brute force, at p_lost - p_gained = the bound
        q = np.linspace(0.0, (1.0 - loss.upper) / 2.0 if loss.upper > 0 else (1.0 + loss.upper) / 2.0, 200_001)[1:-1]
        q = q if loss.upper > 0 else q - loss.upper
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                stats.binom.logpmf(0, 0, 0.5)
                + (lost * np.log(q + loss.upper) if lost else 0.0)
                + (gained * np.log(q) if gained else 0.0)
                + (same * np.log(1.0 - 2.0 * q - loss.upper) if same else 0.0)
            )
        best = q[int(np.nanargmax(likelihood))] if lost + gained + same else 0.0
        variance = n * (2.0 * best + loss.upper - loss.upper**2)
        z = (lost - gained - n * loss.upper) / math.sqrt(variance)
        assert z == pytest.approx(-stats.norm.ppf(0.95), abs=5e-2)


def test_more_images_bring_the_bound_nearer() -> None:
    bounds = []
    for n in (100, 1000, 10_000):
        original = np.ones(n, dtype=bool)
        candidate = original.copy()
        candidate[: n // 50] = False
        bounds.append(utility_loss(original, candidate, level=0.95).upper)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(0.02, abs=0.003)


def test_no_change_at_all_still_has_a_bound_above_nothing() -> None:
    same = np.ones(1000, dtype=bool)
    loss = utility_loss(same, same, level=0.95)
    assert loss.value == 0.0
    assert 0.0 < loss.upper < 0.005


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 4)), min_size=2, max_size=30))
def test_the_design_effect_is_the_ratio_of_both_variances(samples: list[tuple[int, int]]) -> None:
    values, subjects = (np.array(column) for column in zip(*samples, strict=True))
    effect = design_effect(values.astype(float), subjects)
    n, people = len(values), sorted(set(subjects.tolist()))
    independent = n / (n - 1) * sum((values - values.mean()) ** 2)
    if len(people) == n or independent == 0:
        assert effect == 1.0
    elif len(people) == 1:
        assert effect == n
    else:
        sums = [sum(v - values.mean() for v in values[subjects == person]) for person in people]
        grouped = len(people) / (len(people) - 1) * sum(total * total for total in sums)
        assert effect == pytest.approx(max(1.0, grouped / independent))


def test_copies_of_every_image_do_not_move_the_bound() -> None:
    rng = np.random.default_rng(0)
    original, candidate = rng.random(400) < 0.9, rng.random(400) < 0.85
    single = utility_loss(original, candidate, level=0.95)
    copied = utility_loss(
        np.repeat(original, 4), np.repeat(candidate, 4), level=0.95, subjects=np.repeat(range(400), 4)
    )
    assert copied.value == pytest.approx(single.value)
    assert copied.upper == pytest.approx(single.upper, abs=2e-4)


def test_images_of_different_people_are_independent() -> None:
    rng = np.random.default_rng(0)
    original, candidate = rng.random(300) < 0.9, rng.random(300) < 0.85
    alone = utility_loss(original, candidate, level=0.95)
    assert utility_loss(original, candidate, level=0.95, subjects=np.arange(300)) == alone
