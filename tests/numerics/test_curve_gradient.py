"""The identity ∂φ/∂θ_c = 2t(1 - t)·I against autograd through the curve."""

import copy

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from mcu_core.config import TrainConfig
from mcu_core.connectivity.bezier import Curve
from mcu_core.data import PlainBatches
from mcu_core.losses import ascend_and_descend, cross_entropy
from mcu_core.models import build, state_of
from mcu_core.runtime import stream
from mcu_core.training import minimise
from mcu_core.types import Batch, Params, Pathway, Phase, State, bernstein
from tests.cases import TINY, evaluate_curve, tiny_data, tiny_runtime


def three_models(dtype: torch.dtype) -> tuple[Params, Params, Params]:
    rng = torch.Generator().manual_seed(0)
    base = state_of(build(TINY)).params
    first, middle, last = (
        {name: (tensor + 0.1 * torch.randn(tensor.shape, generator=rng)).to(dtype) for name, tensor in base.items()}
        for _ in range(3)
    )
    return first, middle, last


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_scaling_the_gradient_at_the_point_is_the_gradient_through_the_curve(t: float) -> None:
    first, middle, last = three_models(torch.float64)
    network = copy.deepcopy(build(TINY)).double().train()
    rng = torch.Generator().manual_seed(1)
    batch = Batch(
        images=torch.randn(12, 1, 8, 8, generator=rng, dtype=torch.float64),
        labels=torch.randint(0, 3, (12,), generator=rng),
        forget_count=4,
    )

    def loss(point: Params) -> torch.Tensor:
        return ascend_and_descend(functional_call(network, dict(point), (batch.images,)), batch, 0.3)

    # Through the curve
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in middle.items()}
    a, b, c = bernstein(t)
    through = torch.autograd.grad(
        loss({name: a * first[name] + b * leaves[name] + c * last[name] for name in leaves}), list(leaves.values())
    )
    # By the identity
    point, factor = evaluate_curve(first, middle, last, t)
    moving = {name: tensor.requires_grad_() for name, tensor in point.items()}
    plain = torch.autograd.grad(loss(moving), list(moving.values()))
    for expected, gradient in zip(through, plain, strict=True):
        assert float((expected - factor * gradient).abs().max()) < 1e-12


def test_training_the_curve_is_descent_on_the_control_point() -> None:
    """Three steps of the loop against three written out, autograd running through the curve."""
    first, middle, last = three_models(torch.float32)
    data = tiny_data()
    runtime = tiny_runtime(data)
    batches = PlainBatches(reader=runtime.reader, rows=torch.arange(90), size=30)
    positions = [torch.tensor(t) for t in (0.2, 0.5, 0.9)]
    config = TrainConfig(epochs=1, learning_rate=0.05, momentum=0.9, weight_decay=0.0, batch_size=30)
    buffers = state_of(runtime.model).buffers
    trained = minimise(
        runtime,
        State(params=middle, buffers=buffers),
        cross_entropy,
        batches,
        config,
        rng=stream(0, "test"),
        phase=Phase.CURVE,
        lower="nothing",
        placement=Curve(original=first, end=last, positions=iter(positions)),
    )

    network = runtime.network().train()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in middle.items()}
    optimiser = torch.optim.SGD(list(leaves.values()), lr=0.05, momentum=0.9)
    rng = stream(0, "test")
    torch.randint(2**62, (), generator=rng)
    for t, batch in zip(positions, batches.draw(rng), strict=True):
        optimiser.zero_grad()
        a, b, c = bernstein(float(t))
        point = {name: a * first[name] + b * leaves[name] + c * last[name] for name in leaves}
        functional.cross_entropy(functional_call(network, point, (batch.images,)), batch.labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, tensor in trained.params.items():
        # float32 through two memory layouts
        torch.testing.assert_close(tensor, leaves[name].detach(), atol=2e-4, rtol=1e-3)


def test_a_path_between_equal_ends_starts_as_a_point() -> None:
    first, _, _ = three_models(torch.float64)
    path = Pathway(original=first, control=first, end=first, mask=frozenset(first))
    for name, tensor in path.at(0.37).items():
        torch.testing.assert_close(tensor, first[name], atol=1e-15, rtol=1e-15)
