import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcu_core.statistics.one_run import Guesses, guess

canaries = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), max_size=30)


@given(canaries, st.sampled_from([0.2, 0.5, 1.0]))
def test_guesses_are_those_of_counting(drawn: list[tuple[int, bool]], share: float) -> None:
    scores = np.array([float(score) for score, _ in drawn])
    coins = np.array([coin for _, coin in drawn], dtype=bool)
    each = int(share * len(drawn) / 2)
    guessed = correct = 0
    for score, coin in drawn:
        # `included` if it and all that score as high or higher are at most k
        if sum(other >= score for other, _ in drawn) <= each:
            guessed, correct = guessed + 1, correct + coin
        elif sum(other <= score for other, _ in drawn) <= each:
            guessed, correct = guessed + 1, correct + (not coin)
    assert guess(scores, coins, share=share) == Guesses(guessed=guessed, correct=correct)


@given(st.integers(1, 60), st.data(), st.sampled_from([0.0, 0.5, 2.0]))
def test_the_p_value_is_the_upper_tail_of_a_binomial(guessed: int, data: st.DataObject, epsilon: float) -> None:
    correct = data.draw(st.integers(0, guessed))
    success = np.exp(epsilon) / (1.0 + np.exp(epsilon))
    expected = stats.binom.pmf(np.arange(correct, guessed + 1), guessed, success).sum()
    assert Guesses(guessed=guessed, correct=correct).p_value(epsilon) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_the_canaries_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    scores, coins, order = rng.normal(size=40).round(1), rng.random(40) < 0.5, rng.permutation(40)
    assert guess(scores[order], coins[order]) == guess(scores, coins)


def test_nothing_is_guessed_where_all_scores_tie() -> None:
    nothing = guess(np.ones(20), np.arange(20) < 10)
    assert (nothing.guessed, nothing.p_value()) == (0, 1.0)


def test_canaries_that_are_remembered_are_guessed() -> None:
    rng = np.random.default_rng(0)
    coins = rng.random(80) < 0.5
    assert guess(rng.normal(size=80) + 3.0 * coins, coins).p_value() < 1e-6


def test_a_model_that_never_used_the_coins_is_called_out_no_more_often_than_the_level() -> None:
    rng = np.random.default_rng(0)
    runs = 3000
    rejected = sum(guess(rng.normal(size=24).round(1), rng.random(24) < 0.5).p_value() <= 0.05 for _ in range(runs))
    assert rejected / runs <= 0.05 + 4 * (0.0475 / runs) ** 0.5
