import pytest
import torch

from mcu_core.config import ConnectionConfig, TrainConfig
from mcu_core.connection.between import Line, fit_between
from mcu_core.params import midpoint
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Params, Pathway, Problem

CONFIG = ConnectionConfig(train=TrainConfig(epochs=3, learning_rate=0.02, weight_decay=0.0, batch_size=40))


@pytest.fixture
def other(problem: Problem) -> Params:
    rng = torch.Generator().manual_seed(0)
    return {
        name: tensor + 0.05 * torch.randn(tensor.shape, generator=rng)
        for name, tensor in problem.original.params.items()
    }


def fit(problem: Problem, other: Params, runtime: Runtime, config: ConnectionConfig = CONFIG) -> Pathway:
    return fit_between(problem, problem.original.params, other, config, rng=stream(0, "curve"), runtime=runtime)


def test_both_ends_of_the_line_are_exact(problem: Problem, other: Params) -> None:
    line = Line(first=problem.original.params, second=other)
    for name, tensor in other.items():
        assert torch.equal(line.at(0.0)[name], problem.original.params[name])
        assert torch.equal(line.at(1.0)[name], tensor)


def test_the_line_between_equal_models_is_that_model_everywhere(other: Params) -> None:
    line = Line(first=other, second=other)
    assert all(torch.equal(line.at(t)[name], tensor) for t in (0.1, 0.37, 0.9) for name, tensor in other.items())


def test_the_line_is_straight(problem: Problem, other: Params) -> None:
    quarter = Line(first=problem.original.params, second=other).at(0.25)
    for name, tensor in problem.original.params.items():
        torch.testing.assert_close(quarter[name], 0.75 * tensor + 0.25 * other[name])


@pytest.mark.parametrize("t", [-0.1, 1.01])
def test_a_point_beyond_the_ends_is_refused(other: Params, t: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Line(first=other, second=other).at(t)


def test_both_ends_of_the_curve_are_exact(problem: Problem, other: Params, runtime: Runtime) -> None:
    curve = fit(problem, other, runtime)
    for name, tensor in other.items():
        assert torch.equal(curve.at(0.0)[name], problem.original.params[name])
        assert torch.equal(curve.at(1.0)[name], tensor)


def test_every_tensor_of_the_control_point_is_trained(problem: Problem, other: Params, runtime: Runtime) -> None:
    start = midpoint(problem.original.params, other)
    assert all(not torch.equal(tensor, start[name]) for name, tensor in fit(problem, other, runtime).control.items())


def test_the_same_generator_gives_the_same_curve(problem: Problem, other: Params, runtime: Runtime) -> None:
    first, second = (fit(problem, other, runtime).control for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
