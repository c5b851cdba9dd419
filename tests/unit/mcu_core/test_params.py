import math

import pytest
import torch

from mcu_core.params import changed_count, element_count, midpoint, norm, subtract

FIRST = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
SECOND = {"a": torch.tensor([1.0, 4.0]), "b": torch.tensor([[5.0]])}


def test_the_midpoint_lies_half_way() -> None:
    middle = midpoint(FIRST, SECOND)
    assert {name: tensor.flatten().tolist() for name, tensor in middle.items()} == {"a": [1.0, 3.0], "b": [4.0]}


def test_the_norm_runs_over_all_tensors() -> None:
    assert norm(subtract(SECOND, FIRST)) == pytest.approx(math.sqrt(8.0))


def test_elements_and_changes_are_counted() -> None:
    assert element_count(FIRST) == 3
    assert changed_count(FIRST, SECOND) == 2
