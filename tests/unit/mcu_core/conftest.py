"""Fixtures of the core's tests: one trained tiny problem for all, since nothing may change it."""

import pytest
import torch

from mcu_core.runtime import Runtime
from mcu_core.types import Problem
from tests.cases import tiny_problem, tiny_runtime


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # tensors this small gain nothing from more


@pytest.fixture(scope="session")
def problem() -> Problem:
    return tiny_problem()


@pytest.fixture
def runtime(problem: Problem) -> Runtime:
    return tiny_runtime(problem.data)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)
