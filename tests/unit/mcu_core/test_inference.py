from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mcu_core.errors import DivergedError
from mcu_core.images import ImageData
from mcu_core.inference import accuracy, count_right, logits, reestimate_batchnorm, reestimate_buffers
from mcu_core.models import state_of
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, State
from tests.cases import pixels_of, tiny_runtime


def poisoned(problem: Problem, keep: Tensor) -> Runtime:
    """Return a runtime in which every sample but `keep` is another one."""
    images = 255 - pixels_of(problem)
    images[keep] = pixels_of(problem)[keep]
    return tiny_runtime(ImageData(images=images, labels=problem.data.labels))


def test_reestimation_reads_no_other_sample_than_the_given_ones(problem: Problem, runtime: Runtime) -> None:
    rows = problem.retain[:50]
    clean = reestimate_batchnorm(runtime, problem.original, rows)
    other = reestimate_batchnorm(poisoned(problem, rows), problem.original, rows)
    for name, tensor in clean.buffers.items():
        assert torch.equal(tensor, other.buffers[name])


def test_reestimation_forgets_the_statistics_of_before(problem: Problem, runtime: Runtime) -> None:
    broken = State(
        params=problem.original.params,
        buffers={name: torch.full_like(tensor, 99) for name, tensor in problem.original.buffers.items()},
    )
    first = reestimate_batchnorm(runtime, broken, problem.retain)
    second = reestimate_batchnorm(runtime, problem.original, problem.retain)
    for name, tensor in first.buffers.items():
        assert torch.equal(tensor, second.buffers[name])


def test_reestimated_statistics_are_the_averages_over_batches(problem: Problem, runtime: Runtime) -> None:
    small = replace(runtime, evaluation_batch=20)
    rows = problem.retain[:40]
    state = reestimate_batchnorm(small, problem.original, rows)
    inputs = [
        nn.functional.conv2d(batch.images, problem.original.params["conv.weight"], padding=1)
        for batch in small.chunks(rows)
    ]
    mean = torch.stack([part.mean((0, 2, 3)) for part in inputs]).mean(0)
    variance = torch.stack([part.var((0, 2, 3)) for part in inputs]).mean(0)
    torch.testing.assert_close(state.buffers["blocks.0.norm1.running_mean"], mean)
    torch.testing.assert_close(state.buffers["blocks.0.norm1.running_var"], variance)


def test_reestimation_changes_neither_parameters_nor_its_input(problem: Problem, runtime: Runtime) -> None:
    before = {name: tensor.clone() for name, tensor in problem.original.buffers.items()}
    state = reestimate_batchnorm(runtime, problem.original, problem.retain)
    assert state.params is problem.original.params
    for name, tensor in problem.original.buffers.items():
        assert torch.equal(tensor, before[name])
    assert runtime.model.training == tiny_runtime(problem.data).model.training


def test_a_model_without_batchnorm_keeps_its_buffers(runtime: Runtime) -> None:
    plain = replace(runtime, model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    state = state_of(plain.model)
    again = reestimate_batchnorm(plain, state, torch.arange(4))
    assert not again.buffers
    assert accuracy(plain, again, torch.arange(10)) <= 1.0


def test_many_points_are_estimated_as_one_by_one(problem: Problem, runtime: Runtime) -> None:
    other = {name: tensor * 0.9 for name, tensor in problem.original.params.items()}
    both = reestimate_buffers(
        runtime, [lambda: problem.original.params, lambda: other], problem.original.buffers, problem.retain
    )
    for params, buffers in zip((problem.original.params, other), both, strict=True):
        alone = reestimate_batchnorm(runtime, State(params=params, buffers=problem.original.buffers), problem.retain)
        for name, tensor in buffers.items():
            assert torch.equal(tensor, alone.buffers[name])


def test_logits_keep_the_order_of_the_rows(problem: Problem, runtime: Runtime) -> None:
    rows = torch.tensor([130, 5, 77, 5])
    outputs = logits(runtime, problem.original, rows)
    each = torch.cat([logits(runtime, problem.original, row.unsqueeze(0)) for row in rows])
    torch.testing.assert_close(outputs, each, atol=1e-5, rtol=1e-5)  # sums of another order


def test_logits_that_are_not_finite_are_refused(problem: Problem, runtime: Runtime) -> None:
    params = {
        name: tensor * (1e38 if name == "head.weight" else 1.0) for name, tensor in problem.original.params.items()
    }
    with pytest.raises(DivergedError, match="not finite on"):
        logits(runtime, State(params=params, buffers=problem.original.buffers), torch.arange(10))


def test_counting_agrees_with_the_logits(problem: Problem, runtime: Runtime) -> None:
    rows = problem.test
    outputs = logits(runtime, problem.original, rows)
    expected = int((outputs.argmax(1) == problem.data.labels[rows]).sum())
    points = [(lambda: problem.original.params, problem.original.buffers)] * 2
    assert count_right(runtime, points, rows) == [expected, expected]
    assert accuracy(runtime, problem.original, rows) == expected / len(rows)
