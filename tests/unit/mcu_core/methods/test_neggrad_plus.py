import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from mcu_core.config import NegGradPlusConfig, TrainConfig
from mcu_core.data import MixedBatches
from mcu_core.errors import DivergedError
from mcu_core.methods import unlearn
from mcu_core.runtime import Runtime, stream
from mcu_core.training import minimise
from mcu_core.types import Batch, Phase, Problem


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


def test_the_form_with_alpha_takes_the_steps_of_its_own_loss(problem: Problem, runtime: Runtime) -> None:
    alpha, train = 0.8, TrainConfig(epochs=2, learning_rate=0.01, weight_decay=0.05, batch_size=40)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        count = batch.forget_count
        forget = functional.cross_entropy(logits[:count], batch.labels[:count])
        return alpha * functional.cross_entropy(logits[count:], batch.labels[count:]) - (1.0 - alpha) * forget

    expected = minimise(
        runtime,
        problem.original,
        loss,
        MixedBatches(reader=runtime.reader, forget=problem.forget, retain=problem.retain, size=40),
        train,
        rng=stream(0, "test"),
        phase=Phase.PRE_UNLEARN,
        lower="",
    )
    config = NegGradPlusConfig.model_validate({"alpha": alpha, "train": train.model_dump()})
    found = unlearn(problem, config, stream(0, "test"), runtime=runtime)
    for name, tensor in expected.params.items():
        torch.testing.assert_close(found.params[name], tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("alpha", [None, "half", True, 0.0, 0.05, 1.5, float("nan")])
def test_an_alpha_without_a_beta_is_refused_by_its_own_name(alpha: object) -> None:
    with pytest.raises(ValidationError, match="as alpha a number from"):
        NegGradPlusConfig.model_validate({"alpha": alpha})


def test_the_least_alpha_is_the_largest_beta() -> None:
    assert NegGradPlusConfig.model_validate({"alpha": 1.0 / 11.0}).beta == pytest.approx(10.0)
