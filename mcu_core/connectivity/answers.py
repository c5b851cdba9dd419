"""Outputs and penultimate features of many models at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mcu_core.errors import ConfigurationError, DivergedError
from mcu_core.inference import Point, Tick
from mcu_core.runtime import Runtime
from mcu_core.types import Buffers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one model makes of N samples, in their order, on the CPU."""

    logits: Tensor
    """float32 `[N, K]`."""
    features: Tensor
    """float32 `[N, d]`: what its last linear layer reads; `[N, 0]` where nobody asked."""


def answers(
    runtime: Runtime,
    points: Sequence[tuple[Point, Buffers]],
    rows: Tensor,
    *,
    with_features: bool = False,
    tick: Tick = lambda: None,
) -> list[Answers]:
    """Return what several models in eval mode make of the same samples, reading each sample once.

    Args:
        runtime: the network that they share, samples, device and arithmetic.
        points: parameters and buffers of each.
        rows: int64 `[N]`, not empty.
        with_features: whether to keep the input of the last linear layer as well.
        tick: called after each batch.

    Returns:
        Answers by model.

    Raises:
        ConfigurationError: the network has no linear layer.
        DivergedError: an output is not finite.
    """
    network = runtime.network()
    seen: list[Tensor] = []
    if with_features:
        _last_linear(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in points]
    with torch.inference_mode():
        for batch in runtime.chunks(rows):
            for kept, (point, buffers) in zip(parts, points, strict=True):
                outputs = runtime.forward(network, point(), buffers, batch)
                features = seen.pop().flatten(1).float() if with_features else outputs[:, :0]
                kept.append((outputs.cpu(), features.cpu()))
            tick()
    return [_joined(kept) for kept in parts]


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> Answers:
    # Cloned outside of inference mode: normal tensors again.
    logits, features = (torch.cat([part[index] for part in parts]).clone() for index in range(2))
    wrong = int((~logits.isfinite()).any(dim=1).sum())
    if wrong:
        raise DivergedError(f"the model's output is not finite on {wrong} of {len(logits)} samples")
    return Answers(logits=logits, features=features)


def _last_linear(network: nn.Module) -> nn.Linear:
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigurationError("the network has no linear layer whose input could be compared")
    return layers[-1]
