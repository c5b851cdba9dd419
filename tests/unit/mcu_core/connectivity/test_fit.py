from dataclasses import replace

import pytest
import torch

from mcu_core.config import AscentConfig, CurveConfig, FixedBetaConfig, MaskConfig, MaskMode, TrainConfig
from mcu_core.connectivity.fit import Fit, choose_mask, fit_curve
from mcu_core.images import ImageData
from mcu_core.inference import accuracy, reestimate_batchnorm
from mcu_core.params import midpoint
from mcu_core.report import References
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Params, Problem, State
from tests.cases import pixels_of, tiny_curve, tiny_runtime

REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.5)
MASK = frozenset({"blocks.1.conv2.weight", "head.bias"})


@pytest.fixture
def end(problem: Problem) -> Params:
    rng = torch.Generator().manual_seed(0)
    return {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=rng)
        for name, tensor in problem.original.params.items()
    }


def fit(problem: Problem, runtime: Runtime, end: Params, config: CurveConfig | None = None) -> Fit:
    return fit_curve(problem, end, MASK, REFERENCES, config or tiny_curve(), rng=stream(0, "curve"), runtime=runtime)


def test_the_control_point_stays_at_the_midpoint_off_the_mask(problem: Problem, runtime: Runtime, end: Params) -> None:
    config = tiny_curve()
    decaying = config.model_copy(update={"train": config.train.model_copy(update={"weight_decay": 0.1})})
    start = midpoint(problem.original.params, end)
    control = fit(problem, runtime, end, decaying).pathway.control
    for name, tensor in control.items():
        assert torch.equal(tensor, start[name]) == (name not in MASK)


def test_the_ends_are_the_original_and_the_pre_unlearned_model(problem: Problem, runtime: Runtime, end: Params) -> None:
    pathway = fit(problem, runtime, end).pathway
    for name, tensor in problem.original.params.items():
        assert torch.equal(pathway.at(0.0)[name], tensor)
        assert torch.equal(pathway.at(1.0)[name], end[name])


def test_the_same_seed_gives_the_same_curve(problem: Problem, runtime: Runtime, end: Params) -> None:
    first, again = (fit(problem, runtime, end).pathway.control for _ in range(2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


def test_every_batch_has_its_penalty_counted(problem: Problem, runtime: Runtime, end: Params) -> None:
    # 24 forget and 48 retain rows are 2 batches of at most 40
    counts = fit(problem, runtime, end).beta_counts
    assert sum(counts.values()) == 3 * 2
    fixed = tiny_curve().model_copy(update={"objective": AscentConfig(beta=FixedBetaConfig(value=0.3))})
    assert fit(problem, runtime, end, fixed).beta_counts == {"0.3": 6}


def test_the_curve_reads_neither_held_out_samples_nor_more_than_its_share_of_d_r(
    problem: Problem, runtime: Runtime, end: Params
) -> None:
    seen: set[int] = set()
    reader = runtime.reader
    count = len(problem.data.labels)
    # An image that carries its own position
    marked = torch.zeros_like(pixels_of(problem))
    marked[:, 0, 0, 0] = torch.arange(count).to(torch.uint8)
    data = ImageData(images=marked, labels=problem.data.labels)
    spying = tiny_runtime(data)
    network = spying.model
    network.register_forward_pre_hook(
        lambda _, inputs: seen.update((inputs[0][:, 0, 0, 0] * 0.25 + 0.5).mul(255).round().int().tolist())
    )
    fit(replace(problem, data=data, model=network), replace(spying, model=network), end)
    assert reader.data is problem.data
    assert set(problem.forget.tolist()) <= seen
    assert len(seen & set(problem.retain.tolist())) == 48
    assert not seen & (set(problem.validation.tolist()) | set(problem.test.tolist()))


def test_the_curve_learns_to_forget(problem: Problem, runtime: Runtime) -> None:
    """From a curve whose ends both remember, only training can bend the middle away."""
    names = frozenset(problem.original.params)
    config = CurveConfig(
        train=TrainConfig(epochs=20, learning_rate=0.05, weight_decay=0.0, batch_size=40),
        mask=MaskConfig(mode=MaskMode.FULL),
    )
    pathway = fit_curve(
        problem,
        problem.original.params,
        names,
        REFERENCES,
        config,
        rng=stream(0, "curve"),
        runtime=runtime,
    ).pathway
    middle = State(params=pathway.at(0.5), buffers=problem.original.buffers)
    bent = reestimate_batchnorm(runtime, middle, problem.retain)
    assert accuracy(runtime, bent, problem.forget) < 0.8
    assert accuracy(runtime, bent, problem.retain) > 0.9


def test_the_sequential_mask_moves_a_part_of_the_network(problem: Problem, runtime: Runtime) -> None:
    mask = choose_mask(problem, MaskConfig(least_tensors=1), stream(0, "mask"), runtime=runtime)
    assert 0.2 < mask.share < 0.7
    assert mask.names < set(problem.original.params)


def test_the_full_mask_costs_nothing(problem: Problem, runtime: Runtime) -> None:
    ticks: list[object] = []
    mask = choose_mask(
        problem, MaskConfig(mode=MaskMode.FULL), stream(0, "mask"), runtime=runtime, progress=ticks.append
    )
    assert mask.names == set(problem.original.params)
    assert not ticks
