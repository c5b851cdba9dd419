import numpy as np
import pytest
from sklearn.svm import SVC

from mcu_core.statistics.svc import fit_svc, rounded, svc_attack


def confidences(seed: int, count: int, power: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).random(count) ** power


@pytest.mark.parametrize(("member_power", "other_power"), [(0.05, 0.5), (0.2, 0.2), (1.0, 0.1)])
def test_merged_points_decide_as_scikit_learn_on_raw_points(member_power: float, other_power: float) -> None:
    members, others = rounded(confidences(1, 300, member_power)), rounded(confidences(2, 300, other_power))
    raw = SVC(C=3.0, gamma="auto", kernel="rbf")
    raw.fit(np.concatenate([members, others])[:, None], np.repeat([1, 0], 300))
    merged = fit_svc(members, others)
    grid = np.linspace(0.0, 1.0, 2001)[:, None]
    # Both solve one problem to the same tolerance (1e-3 of the dual); only decisions that hang on it may differ.
    clear = np.abs(raw.decision_function(grid)) > 2e-2
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(merged.predict(grid)[clear], raw.predict(grid)[clear])


def test_the_rates_are_scikit_learns_on_raw_points() -> None:
    """Confidences as they come, neither rounded nor merged."""
    members, others = confidences(1, 400, 0.05), confidences(2, 400, 0.4)
    forget, sealed = confidences(3, 300, 0.2), confidences(4, 300, 0.4)
    raw = SVC(C=3.0, gamma="auto", kernel="rbf")
    raw.fit(np.concatenate([members, others])[:, None], np.repeat([1, 0], 400))
    attack = svc_attack(members, others, forget, sealed)
    # One sample of 300 may lie on the boundary, which both find to the solver's tolerance.
    assert attack.nonmember_share == pytest.approx(np.mean(raw.predict(forget[:, None]) == 0), abs=1 / 300 + 1e-9)
    assert attack.sealed_nonmember_share == pytest.approx(
        np.mean(raw.predict(sealed[:, None]) == 0), abs=1 / 300 + 1e-9
    )


def test_equal_confidences_are_one_weighted_point() -> None:
    ones, zeros = np.ones(500), np.zeros(500)
    assert len(fit_svc(ones, zeros).support_) == 2


def test_the_attack_tells_confident_members_from_others() -> None:
    members, others = confidences(1, 300, 0.02), confidences(2, 300, 1.0)
    kept = svc_attack(members, others, forget=confidences(3, 200, 0.02), sealed=confidences(4, 200, 1.0))
    gone = svc_attack(members, others, forget=confidences(5, 200, 1.0), sealed=confidences(4, 200, 1.0))
    assert kept.gap > 0.6
    assert gone.gap < 0.1
    assert kept.training_count == 300
    assert kept.gap == abs(kept.nonmember_share - kept.sealed_nonmember_share)


def test_the_attack_needs_groups_of_one_size() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        svc_attack(np.ones(2), np.zeros(3), np.ones(1), np.ones(1))
