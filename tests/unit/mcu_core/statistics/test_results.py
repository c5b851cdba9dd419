from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mcu_core.report.evidence import Role
from mcu_core.report.plan import Signal
from mcu_core.statistics.auc import auc
from mcu_core.statistics.mann_whitney import Alternative, mann_whitney
from mcu_core.statistics.results import Comparison, auc_result, primary_results, tail_result, tpr_result
from mcu_core.statistics.scores import Floats
from mcu_core.statistics.tails import SIDES, Side, tail

values = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=25)
"""Few distinct numbers, so that ties are common."""


def comparison(forget: Floats, others: Floats, *, each: int = 1) -> Comparison:
    """Return the groups with `each` consecutive samples a subject."""
    return Comparison(
        role=Role.CANDIDATE,
        signal=Signal.PHI,
        forget=forget,
        others=others,
        forget_subjects=np.arange(len(forget)) // each,
        other_subjects=1000 + np.arange(len(others)) // each,
        seed=0,
    )


@given(values, values)
def test_without_repeated_subjects_the_result_is_the_estimate(forget: list[float], others: list[float]) -> None:
    first, second = np.array(forget), np.array(others)
    result, estimate = auc_result(comparison(first, second), confidence=0.9), auc(first, second, confidence=0.9)
    assert (result.value, result.low, result.high) == (estimate.value, estimate.low, estimate.high)
    assert (result.p_value, result.method, result.forget_subjects) == (estimate.p_value, estimate.method, None)


@given(values, values)
def test_the_auc_is_scikit_learns(forget: list[float], others: list[float]) -> None:
    result = auc_result(comparison(np.array(forget), np.array(others)), confidence=0.9)
    truth = np.repeat([1, 0], [len(forget), len(others)])
    assert result.value == pytest.approx(roc_auc_score(truth, np.array([*forget, *others])))


@given(values, values)
def test_an_interval_comes_with_a_level_and_separation_with_no_standard_error(
    forget: list[float], others: list[float]
) -> None:
    result = auc_result(comparison(np.array(forget), np.array(others)), confidence=0.9)
    if min(len(forget), len(others)) < 10:
        assert (result.low, result.high, result.level, result.standard_error) == (None, None, None, None)
    else:
        assert result.low is not None
        assert result.level == 0.9
        tied = len({*forget, *others}) == 1
        assert (result.standard_error is None) == (result.value in {0.0, 1.0} or tied)


def test_the_standard_error_is_of_the_logit() -> None:
    rng = np.random.default_rng(0)
    result = auc_result(comparison(rng.normal(1, 1, 300), rng.normal(0, 1, 900)), confidence=0.95)
    assert result.value is not None
    assert result.high is not None
    assert result.standard_error is not None
    logit = np.log(np.array([result.value, result.high]) / (1 - np.array([result.value, result.high])))
    assert logit[1] - logit[0] == pytest.approx(1.959964 * result.standard_error, rel=1e-6)


def test_copies_of_a_persons_sample_do_not_shrink_the_interval() -> None:
    rng = np.random.default_rng(0)
    forget, others = rng.normal(0.5, 1, 40), rng.normal(0, 1, 200)
    single = auc_result(comparison(forget, others), confidence=0.95)
    copied = auc_result(comparison(np.repeat(forget, 5), np.repeat(others, 5), each=5), confidence=0.95)
    assert (copied.forget_count, copied.forget_subjects, single.forget_subjects) == (200, 40, None)
    for name in ("value", "low", "high", "standard_error"):
        assert getattr(copied, name) == pytest.approx(getattr(single, name))
    assert single.p_value is not None
    assert copied.p_value is not None
    # Student's distribution in place of Mann and Whitney's; taken for independent, the copies would give 1e-9
    assert single.p_value / 5 < copied.p_value < single.p_value * 5


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_few_people_with_many_samples_are_few(alternative: Alternative) -> None:
    rng = np.random.default_rng(0)
    forget, others = np.repeat(rng.normal(9, 1, 4), 25), rng.normal(0, 1, 300)
    groups = replace(comparison(forget, others), forget_subjects=np.repeat(np.arange(4), 25))
    result = auc_result(groups, confidence=0.95, alternative=alternative)
    assert (result.low, result.standard_error, result.forget_subjects) == (None, None, 4)
    assert result.p_value == mann_whitney(forget[::25], others, alternative=alternative).p_value


def test_one_drawn_sample_a_subject_is_tested_in_the_tails() -> None:
    rng = np.random.default_rng(0)
    forget, others = rng.normal(2, 1, 60), rng.normal(0, 1, 300)
    groups = replace(comparison(forget, others), forget_subjects=np.arange(60) // 3)
    result = tail_result(groups, side="upper", level=0.05, confidence=0.95)
    assert (result.forget_count, result.other_count) == (20, 300)
    assert result.p_value == tail(groups.one_each().forget, others, side="upper", level=0.05).p_value
    assert "one drawn sample" in result.method


@given(values, values, st.sampled_from(SIDES))
def test_a_tail_is_that_of_the_exact_test(forget: list[float], others: list[float], side: Side) -> None:
    result = tail_result(comparison(np.array(forget), np.array(others)), side=side, level=0.1, confidence=0.95)
    expected = tail(np.array(forget), np.array(others), side=side, level=0.1)
    assert (result.name, result.value, result.p_value) == (f"tail.{side}", expected.share, expected.p_value)
    assert result.value is not None
    assert result.low is not None
    assert result.high is not None
    assert result.low <= result.value <= result.high


def test_a_rate_that_cannot_be_estimated_says_why() -> None:
    result = tpr_result(comparison(np.zeros(50), np.zeros(500)), fpr=0.01, confidence=0.95)
    assert (result.name, result.value, result.low) == ("tpr.0.01", None, None)
    assert result.not_estimable is not None


def test_the_primary_tests_come_in_their_order() -> None:
    rng = np.random.default_rng(0)
    groups = comparison(rng.normal(size=30), rng.normal(size=90))
    results = primary_results(groups, level=0.05, confidence=0.95)
    assert [result.name for result in results] == ["auc", "tail.upper", "tail.lower"]


@given(values, values)
def test_the_order_of_the_samples_does_not_matter(forget: list[float], others: list[float]) -> None:
    rng = np.random.default_rng(0)
    first, second = np.array(forget), np.array(others)
    turned = comparison(rng.permutation(first), rng.permutation(second))
    for one, other in zip(
        primary_results(comparison(first, second), level=0.1, confidence=0.9),
        primary_results(turned, level=0.1, confidence=0.9),
        strict=True,
    ):
        assert one.model_dump(exclude={"low", "high", "standard_error"}) == other.model_dump(
            exclude={"low", "high", "standard_error"}
        )
        assert one.low == pytest.approx(other.low)
