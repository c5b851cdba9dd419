import pytest
import torch

from mcu_core.config import NegGradPlusConfig, TrainConfig
from mcu_core.errors import DivergedError
from mcu_core.methods import unlearn
from mcu_core.runtime import Runtime
from mcu_core.types import Problem


def test_an_absurd_rate_ends_with_a_clear_error_instead_of_broken_weights(
    problem: Problem, runtime: Runtime, rng: torch.Generator
) -> None:
    config = NegGradPlusConfig(train=TrainConfig(epochs=5, learning_rate=100.0, batch_size=40))
    with pytest.raises(DivergedError, match=r"lower pre_unlearning\.train\.learning_rate or pre_unlearning\.beta"):
        unlearn(problem, config, rng, runtime=runtime)


def test_an_absurd_ascent_ends_with_a_clear_error(problem: Problem, runtime: Runtime, rng: torch.Generator) -> None:
    config = NegGradPlusConfig(beta=10.0, train=TrainConfig(epochs=20, learning_rate=1.0, batch_size=40))
    with pytest.raises(DivergedError, match="training diverged in epoch"):
        unlearn(problem, config, rng, runtime=runtime)
