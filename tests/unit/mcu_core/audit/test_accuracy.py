import numpy as np
import pytest
import torch

from mcu_core.audit.accuracy import alignment, label_probability, right_answers
from mcu_core.report import Estimate, References


def test_an_answer_is_right_when_the_largest_output_is_the_label() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert right_answers(logits, torch.tensor([1, 1])).tolist() == [True, False]


def test_confidence_is_the_probability_of_the_label() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [np.log(2.0), 0.0, 0.0]])
    assert label_probability(logits, torch.tensor([2, 0])).tolist() == pytest.approx([1 / 3, 0.5])


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=0.0, high=1.0, count=10, method="none")


def test_d_f_aligns_with_validation_and_d_r_with_training() -> None:
    gaps = alignment(estimate(0.1), estimate(0.97), References(train_accuracy=1.0, validation_accuracy=0.85))
    assert (gaps.forget, gaps.retain, gaps.mean) == pytest.approx((0.05, 0.03, 0.04))
