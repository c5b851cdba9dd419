"""What holds for every unlearning method."""

from collections.abc import Callable

import pytest
import torch
from pydantic import TypeAdapter

from mcu_core.config import (
    AlignConfig,
    FinetuneConfig,
    GradientAscentConfig,
    MethodConfig,
    NegGradPlusConfig,
    NegTaskVectorConfig,
    Optimiser,
    RandomLabelConfig,
    SalUnConfig,
    SsdConfig,
)
from mcu_core.inference import accuracy, reestimate_batchnorm
from mcu_core.masks import select_elements
from mcu_core.methods import name_of, unlearn
from mcu_core.models import state_of
from mcu_core.runtime import Runtime, stream
from mcu_core.training import mean_gradient
from mcu_core.types import Phase, Problem, ProgressUpdate, State
from tests.cases import METHODS, MethodCase, tiny_runtime

Run = Callable[[MethodCase], State]


@pytest.fixture(scope="module")
def run(problem: Problem) -> Run:
    done: dict[str, State] = {}

    def cached(case: MethodCase) -> State:
        if case.name not in done:
            done[case.name] = unlearn(problem, case.config, stream(1, "test"), runtime=tiny_runtime(problem.data))
        return done[case.name]

    return cached


PACED = (
    *(FinetuneConfig, RandomLabelConfig, GradientAscentConfig, NegGradPlusConfig, SalUnConfig),
    *(NegTaskVectorConfig, AlignConfig),
)
"""Methods that a curriculum may pace."""
TRAINED = tuple(case for case in METHODS if not isinstance(case.config, SsdConfig))

each = pytest.mark.parametrize("case", METHODS, ids=[case.name for case in METHODS])


@each
def test_the_result_has_the_tensors_of_the_original(problem: Problem, run: Run, case: MethodCase) -> None:
    state = run(case)
    for before, after in ((problem.original.params, state.params), (problem.original.buffers, state.buffers)):
        assert list(after) == list(before)
        for name, tensor in after.items():
            assert (tensor.shape, tensor.dtype, tensor.device) == (
                before[name].shape,
                before[name].dtype,
                before[name].device,
            )
            assert bool(tensor.isfinite().all())
            assert not tensor.requires_grad


@each
def test_the_same_generator_gives_the_same_bits(problem: Problem, runtime: Runtime, run: Run, case: MethodCase) -> None:
    torch.rand(3)  # the global random state plays no part
    again = unlearn(problem, case.config, stream(1, "test"), runtime=runtime)
    for name, tensor in run(case).params.items():
        assert torch.equal(tensor, again.params[name])


@each
def test_problem_model_and_random_state_are_unchanged(problem: Problem, runtime: Runtime, case: MethodCase) -> None:
    watched = {**problem.original.params, **problem.original.buffers}
    before = {name: tensor.clone() for name, tensor in watched.items()}
    model = state_of(problem.model)
    random = torch.get_rng_state()
    unlearn(problem, case.config, stream(1, "test"), runtime=runtime)
    assert all(torch.equal(tensor, before[name]) for name, tensor in watched.items())
    assert all(torch.equal(tensor, model.params[name]) for name, tensor in state_of(problem.model).params.items())
    assert torch.equal(torch.get_rng_state(), random)


@each
def test_memorised_labels_are_forgotten_and_the_others_kept(
    problem: Problem, runtime: Runtime, run: Run, case: MethodCase
) -> None:
    assert accuracy(runtime, problem.original, problem.forget) == 1.0
    state = reestimate_batchnorm(runtime, run(case), problem.retain)
    assert accuracy(runtime, state, problem.forget) < 0.7  # guessing gives .33
    assert accuracy(runtime, state, problem.retain) >= case.least_retain_accuracy


@each
def test_progress_counts_every_step(problem: Problem, runtime: Runtime, case: MethodCase) -> None:
    seen: list[ProgressUpdate] = []
    unlearn(problem, case.config, stream(1, "test"), runtime=runtime, progress=seen.append)
    for phase in {update.phase for update in seen}:
        first = [update for update in seen if update.phase is phase and update.epoch == 0]
        assert [update.step for update in first] == list(range(1, first[0].steps + 1))


@each
def test_the_configuration_survives_json(case: MethodCase) -> None:
    adapter: TypeAdapter[MethodConfig] = TypeAdapter(MethodConfig)
    assert adapter.validate_json(adapter.dump_json(case.config)) == case.config
    assert name_of(case.config)


@pytest.mark.parametrize("optimiser", list(Optimiser))
@pytest.mark.parametrize("case", TRAINED, ids=[case.name for case in TRAINED])
def test_every_method_that_trains_runs_with_every_optimiser_and_a_curriculum_where_it_has_one(
    problem: Problem, runtime: Runtime, case: MethodCase, optimiser: Optimiser
) -> None:
    assert not isinstance(case.config, SsdConfig)  # trains nothing
    start = 0.5 if isinstance(case.config, PACED) else 1.0
    changes = {"optimiser": optimiser, "epochs": 2, "learning_rate": 0.002, "curriculum_start": start}
    config = case.config.model_copy(update={"train": case.config.train.model_copy(update=changes)})
    state = unlearn(problem, config, stream(1, "test"), runtime=runtime)
    assert any(not torch.equal(tensor, problem.original.params[name]) for name, tensor in state.params.items())
    if isinstance(config, SalUnConfig):
        gradient = mean_gradient(runtime, problem.original, problem.forget, phase=Phase.MASK)
        for name, moves in select_elements(gradient, config.keep).items():
            assert torch.equal(state.params[name][~moves], problem.original.params[name][~moves])
