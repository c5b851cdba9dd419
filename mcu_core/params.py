"""Algebra on parameters. Every function returns new tensors."""

import math

import torch

from mcu_core.types import Params


def midpoint(first: Params, second: Params) -> Params:
    """Return (first + second) / 2, tensor by tensor."""
    return {name: (tensor + second[name]) / 2 for name, tensor in first.items()}


def extrapolate(start: Params, towards: Params, factor: float) -> Params:
    """Return start + factor (towards - start), tensor by tensor; a negative factor goes the other way."""
    return {name: tensor + factor * (towards[name] - tensor) for name, tensor in start.items()}


def subtract(first: Params, second: Params) -> Params:
    """Return first - second, tensor by tensor."""
    return {name: tensor - second[name] for name, tensor in first.items()}


def norm(params: Params) -> float:
    """Return the L2 norm over all elements, summed in float64."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in params.values()))


def element_count(params: Params) -> int:
    """Return the number of elements of all tensors."""
    return sum(tensor.numel() for tensor in params.values())


def changed_count(first: Params, second: Params) -> int:
    """Return how many elements differ."""
    return sum(int(torch.ne(tensor, second[name]).sum()) for name, tensor in first.items())
