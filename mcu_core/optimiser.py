"""The rule that changes weights by a gradient, and its learning rate step by step."""

import math
from typing import assert_never

import torch
from torch import Tensor

from mcu_core.config import Optimiser, Schedule, TrainConfig
from mcu_core.sophia import SophiaG

WARM_UP = 0.25
"""Share of the steps in which `ONE_CYCLE` rises."""


def build_optimiser(leaf: Tensor, rate: Tensor, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the rule that changes a leaf by its `.grad`, in place.

    SGD: v ← μ v + g + λ θ;  θ ← θ - η v.  ADAMW: β₁ = μ, β₂ = .999, ε = 1e-8, λ decoupled (arXiv 1711.05101, algorithm
    2).  SOPHIA_G: β₁ = μ, λ decoupled; `sophia.SophiaG`, which wants an estimate of the curvature besides gradients.

    Args:
        leaf: what is trained.
        rate: η, a scalar that is changed in place before each step: a CUDA graph repeats no Python.
        config: the rule, μ and λ.

    Returns:
        The optimiser, its state on the device of the leaf.
    """
    momentum, decay = config.momentum, config.weight_decay
    match config.optimiser:
        case Optimiser.SGD:
            return torch.optim.SGD([leaf], lr=rate, momentum=momentum, weight_decay=decay, fused=True)
        case Optimiser.ADAMW:
            return torch.optim.AdamW(
                [leaf], lr=rate, betas=(momentum, 0.999), weight_decay=decay, fused=True, capturable=leaf.is_cuda
            )
        case Optimiser.SOPHIA_G:
            return SophiaG([leaf], learning_rate=rate, momentum=momentum, weight_decay=decay)
        case _:
            assert_never(config.optimiser)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return η at one step, counted from 0.

    CONSTANT: η_max. COSINE: η_max · ½ (1 + cos(π step / steps)). ONE_CYCLE: linear up to η_max over the first
    w = ⌈steps / 4⌉ steps, then linear towards 0.

    Args:
        config: η_max and the schedule.
        step: in `[0, steps)`.
        steps: of the whole training.

    Returns:
        A positive number.
    """
    match config.schedule:
        case Schedule.CONSTANT:
            return config.learning_rate
        case Schedule.COSINE:
            return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        case Schedule.ONE_CYCLE:
            rise = math.ceil(WARM_UP * steps)
            share = (step + 1) / (rise + 1) if step < rise else (steps - step) / (steps - rise)
            return config.learning_rate * share
