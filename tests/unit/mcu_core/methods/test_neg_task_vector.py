"""NegTV moves parameters only."""

import torch

from mcu_core.config import NegTaskVectorConfig, TrainConfig
from mcu_core.methods import unlearn
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem


def test_buffers_are_those_of_the_original_and_not_of_the_tuned_model(problem: Problem, runtime: Runtime) -> None:
    config = NegTaskVectorConfig(scale=0.9, train=TrainConfig(epochs=1, learning_rate=0.2, batch_size=12))
    state = unlearn(problem, config, stream(1, "test"), runtime=runtime)
    assert any(not torch.equal(tensor, problem.original.params[name]) for name, tensor in state.params.items())
    for name, tensor in problem.original.buffers.items():
        assert torch.equal(state.buffers[name], tensor)
