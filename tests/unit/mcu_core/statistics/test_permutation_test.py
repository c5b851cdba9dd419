import itertools

import numpy as np
import pytest

from mcu_core.statistics.blind import blind_features
from mcu_core.statistics.permutation_test import permutation_p_value


def test_the_p_value_is_the_share_of_all_arrangements() -> None:
    rng = np.random.default_rng(3)
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    is_forget = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    features = blind_features(labels, rng.normal(size=(9, 2)) + is_forget[:, None])
    metric = np.linalg.inv(features.T @ features)

    def distance(members: list[int]) -> float:
        total = features[members].sum(axis=0)
        return float(total @ metric @ total)

    arrangements = [
        distance([*first, second]) for first in itertools.combinations(range(5), 2) for second in range(5, 9)
    ]
    observed = distance([0, 1, 5])
    exact = float(np.mean([value >= observed - 1e-9 for value in arrangements]))
    p_value = permutation_p_value(features, labels, is_forget, seed=0)
    assert p_value == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 999) ** 0.5 + 1e-3)


def test_features_that_say_nothing_reject_nothing() -> None:
    labels = np.zeros(20, dtype=int)
    assert permutation_p_value(np.zeros((20, 2)), labels, np.arange(20) < 5, seed=0) == 1.0


def test_a_copied_feature_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    labels, is_forget = rng.integers(0, 3, 90), np.arange(90) < 30
    features = blind_features(labels, rng.normal(size=(90, 2)))
    doubled = np.concatenate([features, features[:, :1]], axis=1)
    assert permutation_p_value(doubled, labels, is_forget, seed=0) == permutation_p_value(
        features, labels, is_forget, seed=0
    )


def test_another_kind_of_image_is_found() -> None:
    rng = np.random.default_rng(0)
    labels, is_forget = rng.integers(0, 3, 400), np.arange(400) < 100
    features = blind_features(labels, rng.normal(size=(400, 3)) + 0.5 * is_forget[:, None])
    assert permutation_p_value(features, labels, is_forget, seed=0) == 0.001


def test_exchangeable_groups_are_told_apart_no_more_often_than_the_level() -> None:
    rng = np.random.default_rng(0)
    runs, rejected = 80, 0
    for run in range(runs):
        labels, is_forget = rng.integers(0, 3, 60), np.arange(60) < 10
        features = blind_features(labels, np.exp(rng.normal(size=(60, 2))))
        rejected += permutation_p_value(features, labels, is_forget, seed=run) <= 0.1
    assert rejected / runs <= 0.1 + 4 * (0.09 / runs) ** 0.5
