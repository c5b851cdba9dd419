"""Outputs and penultimate features of many models at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mcu_core.errors import ConfigurationError
from mcu_core.inference import Point, Tick, each_output, join_outputs
from mcu_core.runtime import Runtime
from mcu_core.types import Buffers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outputs:
    """What one model makes of N samples, in their order, on the CPU."""

    logits: Tensor
    """float32 `[N, K]`."""
    features: Tensor
    """float32 `[N, d]`: what its last linear layer reads; `[N, 0]` where nobody asked."""


def outputs_of(
    runtime: Runtime,
    points: Sequence[tuple[Point, Buffers]],
    rows: Tensor,
    *,
    with_features: bool = False,
    tick: Tick = lambda: None,
) -> list[Outputs]:
    """Return what several models in eval mode make of the same samples, reading each sample once.

    Args:
        runtime: the network that they share, samples, device and arithmetic.
        points: parameters and buffers of each.
        rows: int64 `[N]`, not empty.
        with_features: whether to keep the input of the last linear layer as well.
        tick: called after each batch.

    Returns:
        Outputs by model.

    Raises:
        ConfigurationError: the network has no linear layer.
        DivergedError: an output is not finite.
    """
    network = runtime.network()
    seen: list[Tensor] = []
    if with_features:
        last_linear(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    logits: list[list[Tensor]] = [[] for _ in points]
    features: list[list[Tensor]] = [[] for _ in points]
    with torch.inference_mode():
        for index, _, outputs in each_output(runtime, network, points, rows, tick=tick):
            logits[index].append(outputs.cpu())
            features[index].append(seen.pop().flatten(1).float().cpu() if with_features else logits[index][-1][:, :0])
    return [
        Outputs(logits=join_outputs(one), features=torch.cat(other).clone())  # a normal tensor, as the outputs
        for one, other in zip(logits, features, strict=True)
    ]


def last_linear(network: nn.Module) -> nn.Linear:
    """Return the layer whose input is what a network makes of an image.

    Raises:
        ConfigurationError: there is no linear layer.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigurationError("the network has no linear layer whose input could be compared")
    return layers[-1]
