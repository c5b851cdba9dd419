from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mcu_core.connection.outputs import outputs_of
from mcu_core.errors import ConfigurationError, DivergedError
from mcu_core.inference import logits
from mcu_core.models import state_of
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, State

ROWS = torch.arange(90)


def other(state: State) -> State:
    return State(params={name: 0.9 * tensor for name, tensor in state.params.items()}, buffers=state.buffers)


def test_many_models_answer_as_one_by_one(problem: Problem, runtime: Runtime) -> None:
    states = [problem.original, other(problem.original)]
    points = [(lambda state=state: state.params, state.buffers) for state in states]
    for state, found in zip(states, outputs_of(runtime, points, ROWS), strict=True):
        assert torch.equal(found.logits, logits(runtime, state, ROWS))
        assert found.features.shape == (90, 0)


def test_the_last_layer_turns_the_features_into_the_answers(problem: Problem, runtime: Runtime) -> None:
    state = problem.original
    (found,) = outputs_of(runtime, [(lambda: state.params, state.buffers)], ROWS, with_features=True)
    expected = found.features @ state.params["head.weight"].T + state.params["head.bias"]
    torch.testing.assert_close(found.logits, expected)


def test_each_sample_is_read_once_for_all_models(problem: Problem, runtime: Runtime) -> None:
    ticks: list[None] = []
    state = problem.original
    outputs_of(runtime, [(lambda: state.params, state.buffers)] * 3, ROWS, tick=lambda: ticks.append(None))
    assert len(ticks) == runtime.chunk_count(ROWS)


def test_an_output_that_is_not_finite_is_refused(problem: Problem, runtime: Runtime) -> None:
    broken = {name: tensor * float("nan") for name, tensor in problem.original.params.items()}
    with pytest.raises(DivergedError, match="90 of 90"):
        outputs_of(runtime, [(lambda: broken, problem.original.buffers)], ROWS)


class _Pooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images).mean(dim=(2, 3))
        return result


def test_a_network_without_a_linear_layer_has_no_features(runtime: Runtime) -> None:
    pooling = replace(runtime, model=_Pooling())
    state = state_of(pooling.model)
    with pytest.raises(ConfigurationError, match="no linear layer"):
        outputs_of(pooling, [(lambda: state.params, state.buffers)], ROWS, with_features=True)
