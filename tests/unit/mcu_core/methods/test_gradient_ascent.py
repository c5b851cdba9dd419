from dataclasses import replace

import pytest
import torch

from mcu_core.config import GradientAscentConfig, TrainConfig
from mcu_core.errors import DivergedError
from mcu_core.methods import unlearn
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem


def epochs_of(problem: Problem, runtime: Runtime, config: GradientAscentConfig) -> int:
    seen: set[int] = set()
    unlearn(problem, config, stream(0, "test"), runtime=runtime, progress=lambda update: seen.add(update.epoch))
    return len(seen)


def test_an_absurd_rate_ends_with_a_clear_error_instead_of_broken_weights(
    problem: Problem, runtime: Runtime, rng: torch.Generator
) -> None:
    config = GradientAscentConfig(
        stop_at_forget_accuracy=0.0, train=TrainConfig(epochs=20, learning_rate=100.0, batch_size=12)
    )
    with pytest.raises(DivergedError, match=r"lower pre_unlearning\.train\.learning_rate"):
        unlearn(problem, config, rng, runtime=runtime)


def test_the_ascent_ends_where_the_accuracy_has_fallen_far_enough(problem: Problem, runtime: Runtime) -> None:
    train = TrainConfig(epochs=8, learning_rate=0.02, batch_size=12)
    low, high = (
        epochs_of(problem, runtime, GradientAscentConfig(stop_at_forget_accuracy=target, train=train))
        for target in (0.05, 1.0)
    )
    assert high == 1
    assert low > high


def test_a_class_that_goes_entirely_is_forgotten_entirely(problem: Problem, runtime: Runtime) -> None:
    """Held-out samples of a class that no sample of D_r belongs to would be answered wrongly, whatever D_v says."""
    train = torch.cat([problem.forget, problem.retain])
    is_first = problem.data.labels[train] == 0
    whole = replace(problem, forget=train[is_first], retain=train[~is_first], teacher=None)
    config = GradientAscentConfig(train=TrainConfig(epochs=6, learning_rate=0.01, batch_size=20))
    by_default = epochs_of(whole, runtime, config)
    assert by_default == epochs_of(whole, runtime, config.model_copy(update={"stop_at_forget_accuracy": 0.0}))
    assert by_default > epochs_of(whole, runtime, config.model_copy(update={"stop_at_forget_accuracy": 0.7}))
