from dataclasses import replace

import pytest
import torch
from torch import nn

from mcu_core.errors import NoEffectError
from mcu_core.losses import cross_entropy
from mcu_core.models import state_of
from mcu_core.network import TrainedNetwork
from mcu_core.packing import layout_of
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, State


def trained(runtime: Runtime, start: State) -> tuple[TrainedNetwork, torch.Tensor]:
    names = frozenset(start.params)
    layout = layout_of(start.params, names)
    flat = layout.pack(start.params)
    return TrainedNetwork(runtime, start.buffers, layout, flat, names), flat


def test_its_outputs_are_those_of_the_weights_in_the_flat_tensor(problem: Problem, runtime: Runtime) -> None:
    network, flat = trained(runtime, problem.original)
    batch = runtime.reader.read(torch.arange(8))
    plain = runtime.network().train()
    for factor in (1.0, 0.5):
        flat.mul_(factor)
        scaled = {name: tensor * factor for name, tensor in problem.original.params.items()}
        plain.load_state_dict({**scaled, **problem.original.buffers})
        torch.testing.assert_close(network.forward(batch.images), plain(batch.images), atol=1e-4, rtol=1e-3)


def test_only_what_moves_gets_a_gradient(problem: Problem, runtime: Runtime) -> None:
    start = problem.original
    layout = layout_of(start.params, frozenset({"head.bias"}))
    network = TrainedNetwork(runtime, start.buffers, layout, layout.pack(start.params), frozenset({"head.bias"}))
    batch = runtime.reader.read(torch.arange(8))
    (gradient,) = torch.autograd.grad(cross_entropy(network.forward(batch.images), batch), network.moving)
    assert gradient.shape == start.params["head.bias"].shape
    assert sum(parameter.requires_grad for parameter in network.moving) == 1


def test_casting_all_weights_at_once_gives_the_bits_of_autocast(problem: Problem, runtime: Runtime) -> None:
    half = replace(runtime, dtype=torch.bfloat16)
    start = problem.original
    network, flat = trained(half, start)
    batch = runtime.reader.read(torch.arange(8))
    outputs = network.forward(batch.images)
    names = frozenset(start.params)
    views = layout_of(start.params, names).views(flat)  # of the same memory layout, or convolutions round differently
    leaves = {name: view.detach().requires_grad_() for name, view in views.items()}
    buffers = {name: tensor.clone() for name, tensor in start.buffers.items()}
    expected = half.forward(half.network().train(), leaves, buffers, batch)
    assert torch.equal(outputs, expected)
    gradients = torch.autograd.grad(cross_entropy(outputs, batch), network.moving)
    through_autocast = torch.autograd.grad(cross_entropy(expected, batch), list(leaves.values()))
    assert all(torch.equal(own.float(), other) for own, other in zip(gradients, through_autocast, strict=True))


def test_a_cumulative_average_still_counts_its_batches(runtime: Runtime) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, momentum=None), nn.Flatten(), nn.Linear(64, 3))
    cumulative = replace(runtime, model=model)
    network, _ = trained(cumulative, state_of(model))
    first, second = (runtime.reader.read(rows).images for rows in (torch.arange(40), torch.arange(40, 80)))
    for images in (first, second):
        network.forward(images)
        network.steps += 1
    buffers = network.buffers()
    assert int(buffers["0.num_batches_tracked"]) == 2
    torch.testing.assert_close(buffers["0.running_mean"], (first.mean() + second.mean()).view(1) / 2)


def test_a_network_without_batchnorm_has_no_buffers(runtime: Runtime) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    network, _ = trained(replace(runtime, model=model), state_of(model))
    assert network.buffers() == {}


def test_a_single_image_that_batchnorm_cannot_normalise_is_told_apart(problem: Problem, runtime: Runtime) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    network, _ = trained(replace(runtime, model=model), state_of(model))
    assert network.forward(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    with pytest.raises(NoEffectError, match="a single image cannot train this network"):
        network.forward(torch.zeros(1, 1, 8, 8))
