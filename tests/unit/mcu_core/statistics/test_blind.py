import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.statistics.auc import area
from mcu_core.statistics.blind import blind_features, blind_scores


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9)), min_size=1, max_size=30))
def test_features_are_what_an_image_has_beyond_its_class(samples: list[tuple[int, int]]) -> None:
    labels, statistic = np.array(samples).T
    features = blind_features(labels, statistic[:, None].astype(float))
    for index, (label, number) in enumerate(samples):
        peers = [other for of, other in samples if of == label]
        assert features[index, 0] == pytest.approx(number - sum(peers) / len(peers))


def test_another_kind_of_image_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    is_forget = np.arange(600) < 200
    features = rng.normal(size=(600, 3)) + 1.0 * is_forget[:, None]
    scores = blind_scores(features, is_forget, np.arange(600), seed=0)
    assert scores is not None
    assert area(scores[is_forget], scores[~is_forget]) > 0.85


def test_the_same_kind_of_image_is_not() -> None:
    rng = np.random.default_rng(0)
    is_forget = np.arange(2000) < 700
    scores = blind_scores(rng.normal(size=(2000, 3)), is_forget, np.arange(2000), seed=0)
    assert scores is not None
    assert area(scores[is_forget], scores[~is_forget]) == pytest.approx(0.5, abs=0.05)


def test_no_subject_is_asked_of_a_classifier_that_knows_it() -> None:
    """Forty people with a look of their own, ten copies each: who knew them would tell them apart perfectly."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(40), 10)
    features = np.repeat(rng.normal(size=(40, 60)), 10, axis=0)
    is_forget = subjects < 20
    scores = blind_scores(features, is_forget, subjects, seed=0)
    leaked = blind_scores(features, is_forget, np.arange(400), seed=0)
    assert scores is not None
    assert leaked is not None
    assert area(leaked[is_forget], leaked[~is_forget]) > 0.9
    assert area(scores[is_forget], scores[~is_forget]) < 0.8


@pytest.mark.parametrize("forget", [0, 1])
def test_fewer_than_two_subjects_cannot_be_cross_validated(forget: int) -> None:
    assert blind_scores(np.zeros((20, 1)), np.arange(20) < forget, np.arange(20), seed=0) is None


def test_two_samples_of_twenty_can() -> None:
    scores = blind_scores(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) < 2, np.arange(20), seed=0)
    assert scores is not None
    assert np.isfinite(scores).all()
