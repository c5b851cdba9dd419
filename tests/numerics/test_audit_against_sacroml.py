"""The audit's numbers against sacroml's, which have other authors and share no code with ours.

They run where sacroml is installed. The project does not ask for it: its XGBoost brings 480 MB that are of no use here.
"""

from typing import Any

import numpy as np
import pytest
import torch

from mcu_core.audit.signals import SIGNALS, signals_of
from mcu_core.judging.equivalence import null_standard_error
from mcu_core.report import Estimate
from mcu_core.statistics.auc import area
from mcu_core.statistics.low_fpr import tpr_at_fpr
from mcu_core.statistics.mann_whitney import mann_whitney
from mcu_core.statistics.scores import Floats

HOW = "needs sacroml, in an environment of its own: pip install sacroml"
metrics = pytest.importorskip("sacroml.metrics", reason=HOW)
attacks = pytest.importorskip("sacroml.attacks.utils", reason=HOW)


def measured(forget: Floats, others: Floats) -> dict[str, Any]:
    """Return what sacroml reports of an attack that gives these scores."""
    scores = np.concatenate([forget, others])
    found: dict[str, Any] = metrics.get_metrics(
        np.column_stack([-scores, scores]), np.repeat([1, 0], [len(forget), len(others)])
    )
    return found


def drawn(seed: int, n: int, m: int, *, shift: float = 0.3, decimals: int = 12) -> tuple[Floats, Floats]:
    rng = np.random.default_rng([seed, n, m])
    return rng.normal(shift, 1.0, n).round(decimals), rng.normal(0.0, 1.0, m).round(decimals)


@pytest.mark.parametrize("shift", [-20.0, -0.3, 0.0, 0.3, 20.0])
@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_the_areas_are_equal_with_and_without_ties(shift: float, decimals: int) -> None:
    forget, others = drawn(0, 80, 300, shift=shift, decimals=decimals)

    assert measured(forget, others)["AUC"] == pytest.approx(area(forget, others), abs=1e-8)  # they round to 8 digits


@pytest.mark.parametrize(("n", "m"), [(10, 10), (50, 2_000), (6_000, 10_000)])
def test_the_null_errors_of_the_area_are_equal(n: int, m: int) -> None:
    assert metrics.auc_p_val(0.5, n, m)[1] == pytest.approx(null_standard_error(n, m), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_the_p_values_differ_by_the_correction_for_continuity_alone(seed: int) -> None:
    forget, others = drawn(seed, 80, 300)
    theirs, _ = metrics.auc_p_val(area(forget, others) - 0.5 / (80 * 300), 80, 300)

    assert mann_whitney(forget, others, alternative="greater").p_value == pytest.approx(theirs, rel=1e-9)


def test_with_ties_their_p_value_misses_what_ours_sees() -> None:
    """They know no ties: the variance is that of scores without, too large."""
    forget, others = np.repeat([1.0, 0.0], [12, 68]), np.repeat([1.0, 0.0], [9, 291])

    assert mann_whitney(forget, others, alternative="greater").p_value < 0.001
    assert measured(forget, others)["P_HIGHER_AUC"] > 0.04


def test_where_the_groups_separate_their_p_value_is_rounded_to_nothing_and_ours_is_not() -> None:
    forget, others = drawn(0, 80, 300, shift=20.0)

    assert measured(forget, others)["P_HIGHER_AUC"] == 0.0  # 1 - cdf, which ends at 1e-16
    assert 0.0 < mann_whitney(forget, others, alternative="greater").p_value < 1e-16


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shift", [-20.0, 0.0, 1.0, 20.0])
def test_without_ties_the_true_positive_rates_are_equal(seed: int, shift: float) -> None:
    forget, others = drawn(seed, 1_000, 10_000, shift=shift)
    ours = tpr_at_fpr(forget, others, fpr=0.001, confidence=0.95)

    assert isinstance(ours, Estimate)
    assert measured(forget, others)["TPR@0.1%"] == pytest.approx(ours.value, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_with_ties_theirs_lies_between_rates_and_is_no_threshold_s(seed: int) -> None:
    """They draw a line between two corners of the curve: more than what any threshold finds at that rate."""
    forget, others = drawn(seed, 1_000, 10_000, shift=1.0, decimals=0)
    ours = tpr_at_fpr(forget, others, fpr=0.001, confidence=0.95)
    theirs = measured(forget, others)["TPR@0.1%"]
    next_corner = (forget >= np.sort(others)[-11]).mean()

    assert isinstance(ours, Estimate)
    assert ours.value < theirs < next_corner
    assert not any((forget >= threshold).mean() == theirs for threshold in np.unique(forget))


def test_phi_is_their_logit_of_the_labels_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn(200, 10, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 10, (200,), generator=generator)
    found = signals_of(logits, labels).numpy()
    phi, confidence = found[:, SIGNALS.index("phi")], found[:, SIGNALS.index("confidence")]

    assert phi == pytest.approx([float(attacks.logit(share)) for share in confidence], rel=1e-9, abs=1e-9)


def test_phi_orders_what_their_logit_ties_at_a_probability_of_one() -> None:
    logits = torch.tensor([[50.0, 0.0], [90.0, 0.0]], dtype=torch.float64)
    found = signals_of(logits, torch.zeros(2, dtype=torch.int64)).numpy()
    confidence = found[:, SIGNALS.index("confidence")]

    assert attacks.logit(confidence[0]) == attacks.logit(confidence[1])
    assert found[:, SIGNALS.index("phi")].tolist() == [50.0, 90.0]
