import pytest
import torch

from mcu_core.config import AdaptiveBetaConfig, BetaRule, FixedBetaConfig
from mcu_core.connectivity.beta import Penalty, adaptive_beta
from mcu_core.report import References
from mcu_core.types import Batch

PRINTED, INTENDED = BetaRule.PRINTED, BetaRule.INTENDED


@pytest.mark.parametrize(
    ("rule", "forget", "retain", "validation", "train", "expected"),
    [
        # 1. Forgotten already, whatever D_r does
        (PRINTED, 0.80, 0.99, 0.80, 1.00, 0.0),
        (PRINTED, 0.50, 0.20, 0.80, 1.00, 0.0),
        (INTENDED, 0.80, 0.20, 0.80, 1.00, 0.0),
        # 2. Mild, as printed: A_r must exceed A_train by more than A_f exceeds A_v
        (PRINTED, 0.81, 0.95, 0.80, 0.90, 0.1),
        (PRINTED, 0.90, 0.95, 0.80, 0.90, 0.5),
        (PRINTED, 0.81, 0.70, 0.80, 0.90, 0.5),
        # 2. Mild, as intended: A_r has fallen by more than A_f is above A_v
        (INTENDED, 0.81, 0.70, 0.80, 0.90, 0.1),
        (INTENDED, 0.81, 0.95, 0.80, 0.90, 0.5),
        # 3. Strong
        (PRINTED, 1.00, 1.00, 0.80, 1.00, 0.5),
        (INTENDED, 1.00, 1.00, 0.80, 1.00, 0.5),
        # Class-wise deletion: A_v is 0 and the second case is false
        (PRINTED, 0.00, 1.00, 0.00, 1.00, 0.0),
        (PRINTED, 0.01, 1.00, 0.00, 0.50, 0.5),
        (INTENDED, 0.01, 0.00, 0.00, 1.00, 0.5),
    ],
)
def test_the_penalty_follows_the_paper(
    rule: BetaRule, forget: float, retain: float, validation: float, train: float, expected: float
) -> None:
    references = References(train_accuracy=train, validation_accuracy=validation)
    config = AdaptiveBetaConfig(rule=rule)
    # float64, because 0.8 <= 0.8 must not depend on rounding to float32
    forget_accuracy, retain_accuracy = (torch.tensor(value, dtype=torch.float64) for value in (forget, retain))
    penalty = adaptive_beta(forget_accuracy, retain_accuracy, references, config)
    assert float(penalty) == pytest.approx(expected)


def batch(right_forget: int, right_retain: int) -> tuple[torch.Tensor, Batch]:
    """Return logits of 4 forget and 4 retain rows, the first of each answered rightly."""
    labels = torch.zeros(8, dtype=torch.int64)
    logits = torch.tensor([[0.0, 1.0]]).repeat(8, 1)
    logits[:right_forget] = torch.tensor([1.0, 0.0])
    logits[4 : 4 + right_retain] = torch.tensor([1.0, 0.0])
    return logits, Batch(images=torch.empty(8, 1, 1, 1), labels=labels, forget_count=4)


REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.6)


def test_each_batch_decides_by_its_own_rows() -> None:
    penalty = Penalty(AdaptiveBetaConfig(), REFERENCES)
    assert [float(penalty(*batch(right, 4))) for right in (4, 2, 3)] == [0.5, 0.0, 0.5]
    assert penalty.counts() == {"0": 1, "0.5": 2}


def test_smoothing_keeps_a_share_of_the_accuracies_before() -> None:
    penalty = Penalty(AdaptiveBetaConfig(smoothing=0.5), REFERENCES)
    # A_f runs 1, .5, .375: one bad batch alone would already end the ascent
    assert [float(penalty(*batch(right, 4))) for right in (4, 1, 1)] == [0.5, 0.5, 0.0]


def test_a_fixed_penalty_is_fixed() -> None:
    penalty = Penalty(FixedBetaConfig(value=0.3), REFERENCES)
    assert [float(penalty(*batch(right, 4))) for right in (4, 0)] == [pytest.approx(0.3)] * 2
    assert penalty.counts() == {"0.3": 2}


def test_no_batch_no_history() -> None:
    assert Penalty(FixedBetaConfig(), REFERENCES).counts() == {}
