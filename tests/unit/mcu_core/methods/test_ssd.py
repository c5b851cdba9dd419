from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from mcu_core.config import SsdConfig
from mcu_core.errors import ConfigurationError, NoEffectError
from mcu_core.methods import unlearn
from mcu_core.methods.ssd import dampen, fisher_diagonal, one_gradient_a_sample
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem, State

importances = st.lists(st.floats(0.0, 1e6), min_size=5, max_size=5).map(lambda values: {"w": torch.tensor(values)})


@pytest.fixture
def rough(problem: Problem) -> State:
    """A model that has not converged, so that every sample has a gradient."""
    rng = stream(0, "test")
    params = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=rng)
        for name, tensor in problem.original.params.items()
    }
    return replace(problem.original, params=params)


@pytest.mark.parametrize("at_once", [1, 8, 20])
def test_the_fisher_diagonal_is_the_mean_of_squared_gradients_of_single_samples(
    runtime: Runtime, rough: State, at_once: int
) -> None:
    rows = torch.arange(20)
    network = runtime.network()
    network.load_state_dict({**rough.params, **rough.buffers})
    expected = {name: torch.zeros_like(tensor) for name, tensor in rough.params.items()}
    for row in rows:
        batch = runtime.reader.read(row.unsqueeze(0))
        network.zero_grad()
        functional.cross_entropy(network(batch.images), batch.labels).backward()  # type: ignore[no-untyped-call]
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            expected[name] += parameter.grad.square() / len(rows)
    diagonal = fisher_diagonal(replace(runtime, evaluation_batch=at_once), rough, rows)
    for name, tensor in diagonal.items():
        # Gradients of float32, summed in other orders
        torch.testing.assert_close(tensor, expected[name], atol=1e-6 * float(expected[name].max()), rtol=1e-3)


def test_opposite_samples_do_not_cancel(runtime: Runtime, rough: State) -> None:
    """Two samples with one gradient and its negative have the gradient 0 as a batch, and no importance then."""
    plain = replace(runtime, model=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3, bias=False)))
    state = State(params={"1.weight": torch.zeros(3, 64)}, buffers={})
    diagonal = fisher_diagonal(replace(plain, evaluation_batch=8), state, torch.arange(8))
    assert float(diagonal["1.weight"].min()) >= 0.0
    alone = torch.stack([fisher_diagonal(plain, state, row.unsqueeze(0))["1.weight"] for row in torch.arange(8)])
    torch.testing.assert_close(diagonal["1.weight"], alone.mean(0))


@given(importances, importances, st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_only_elements_that_stand_out_shrink_and_none_grows(
    forget: dict[str, torch.Tensor], rest: dict[str, torch.Tensor], alpha: float, strength: float
) -> None:
    params = {"w": torch.tensor([1.0, -2.0, 0.5, -0.1, 3.0])}
    everything = {"w": 0.8 * rest["w"] + 0.2 * forget["w"]}
    after = dampen(params, forget, everything, alpha=alpha, strength=strength)["w"]
    stands_out = forget["w"] > alpha * everything["w"]
    assert torch.equal(after[~stands_out], params["w"][~stands_out])
    assert bool((after.abs() <= params["w"].abs()).all())
    assert bool((after * params["w"] >= 0.0).all()), "no sign changes"


def test_the_further_an_importance_stands_out_the_more_its_element_shrinks() -> None:
    params, everything = {"w": torch.ones(4)}, {"w": torch.ones(4)}
    forget = {"w": torch.tensor([1.0, 3.0, 6.0, 60.0])}
    after = dampen(params, forget, everything, alpha=2.0, strength=3.0)["w"]
    torch.testing.assert_close(after, torch.tensor([1.0, 1.0, 0.5, 0.05]))


def test_a_threshold_that_no_element_can_exceed_is_refused(
    problem: Problem, runtime: Runtime, rng: torch.Generator
) -> None:
    with pytest.raises(ConfigurationError, match=r"where 20\.00% of the samples .* below 5"):
        unlearn(problem, SsdConfig(alpha=5.0), rng, runtime=runtime)


def test_finding_nothing_to_dampen_is_an_error(problem: Problem, runtime: Runtime, rng: torch.Generator) -> None:
    config = SsdConfig(alpha=2.0, strength=100.0)  # a ratio below n / n_f = 5 times 100 never shrinks anything
    with pytest.raises(NoEffectError, match=r"2 times \(alpha\) and 100 times \(strength\)"):
        unlearn(problem, config, rng, runtime=runtime)


def test_a_sample_of_d_r_of_its_own_size_changes_nothing(problem: Problem, runtime: Runtime) -> None:
    config = SsdConfig(alpha=2.0)
    count = len(problem.retain)
    whole, sampled = (
        unlearn(problem, config.model_copy(update={"retain_images": images}), stream(0, "test"), runtime=runtime)
        for images in (None, count)
    )
    assert all(torch.equal(tensor, sampled.params[name]) for name, tensor in whole.params.items())


def test_gradients_that_do_not_fit_together_are_taken_one_by_one(runtime: Runtime) -> None:
    huge = {"w": torch.empty(2**25, device="meta")}
    assert one_gradient_a_sample(runtime, huge).evaluation_batch == 1
    assert one_gradient_a_sample(runtime, {"w": torch.empty(10)}).evaluation_batch == runtime.evaluation_batch
