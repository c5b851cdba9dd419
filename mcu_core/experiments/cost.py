"""What a phase costs: time, processor time, and images through the network."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import debug_unwrap

from mcu_core.experiments.cells import Cost
from mcu_core.types import Phase

FORWARD_SHARE = 0.4
"""Of a training step that its forward pass takes, measured on a CPU: what an image that is only evaluated costs."""


class Meter:
    """Cost by phase of whatever uses the network that it watches."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._trained = 0
        self._evaluated = 0
        self.costs: dict[str, Cost] = {}

    def watch(self, model: nn.Module) -> nn.Module:
        """Return a copy of a network; images through it or through copies of it are counted."""

        # A closure, since copying a module copies the owners of bound methods with it.
        def count(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            if output.requires_grad:
                self._trained += _images(inputs[0])
            else:
                self._evaluated += _images(inputs[0])

        watched = copy.deepcopy(model)
        watched.register_forward_hook(count)
        return watched

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Put what happens inside on the account of a phase."""
        trained, evaluated = self._trained, self._evaluated
        start, cpu_start = time.perf_counter(), time.process_time()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # what was only queued has not been spent yet
        self.costs[phase.value] = Cost(
            seconds=time.perf_counter() - start,
            cpu_seconds=time.process_time() - cpu_start,
            trained=self._trained - trained,
            evaluated=self._evaluated - evaluated,
        )


def _images(batch: Tensor) -> int:
    """Return the images of a batch; under `vmap` it looks like that of one sample, while all are computed."""
    return len(batch) * debug_unwrap(batch).numel() // batch.numel()


def epochs_by_images(cost: Cost, epoch_images: int) -> float:
    """Return a cost in epochs of retraining, by images: (trained + .4 evaluated) / n_r.

    Args:
        cost: of everything that a deletion takes.
        epoch_images: n_r, what one epoch of retraining trains on.

    Returns:
        A number of epochs that does not depend on the machine.
    """
    return (cost.trained + FORWARD_SHARE * cost.evaluated) / epoch_images


def epochs_by_cpu(cost: Cost, retraining: Cost, epochs: int) -> float:
    """Return a cost in epochs of retraining, by processor time; both measured on the same machine.

    Args:
        cost: of everything that a deletion takes.
        retraining: what exact retraining took.
        epochs: that it ran.
    """
    return cost.cpu_seconds / (retraining.cpu_seconds / epochs)
