import numpy as np
import pytest
import torch

from mcu_core.audit.accuracy import label_probability, right_answers


def test_an_answer_is_right_when_the_largest_output_is_the_label() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert right_answers(logits, torch.tensor([1, 1])).tolist() == [True, False]


def test_confidence_is_the_probability_of_the_label() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [np.log(2.0), 0.0, 0.0]])
    assert label_probability(logits, torch.tensor([2, 0])).tolist() == pytest.approx([1 / 3, 0.5])
