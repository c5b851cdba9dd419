import numpy as np

from mcu_core.statistics.auc import area
from mcu_core.statistics.difficulty import calibrated


def test_a_model_like_its_references_shows_nothing() -> None:
    phi = np.random.default_rng(0).normal(size=20)
    np.testing.assert_array_equal(calibrated(phi, phi), np.zeros(20))


def test_calibration_sees_what_difficulty_hides() -> None:
    rng = np.random.default_rng(0)
    difficulty, remembered = rng.normal(0.0, 5.0, 400), np.repeat([1.0, 0.0], 200)
    phi = difficulty + remembered + rng.normal(0.0, 0.5, 400)
    signal = calibrated(phi, difficulty + rng.normal(0.0, 0.5, 400))
    assert area(phi[:200], phi[200:]) < 0.65
    assert area(signal[:200], signal[200:]) > 0.85
