"""One step of training, recorded once as a CUDA graph and then replayed, so that no operator waits for Python."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mcu_core.types import Batch

WARM_UP_STEPS = 3
"""Steps before the recording: libraries choose their kernels and optimisers make their state in them."""

Step = Callable[[Batch], None]
"""Reads one batch and changes tensors in place. All that differs between steps must be in tensors: a graph holds
numbers as they were when it was recorded."""


class Replay:
    """A step over batches that are first copied into one place.

    The first `WARM_UP_STEPS` steps run as they are, on a stream of their own; the next one is recorded, and from then
    on the recording is replayed. None of them is run twice, so nothing has to be undone. A batch of another shape, and
    every batch after a recording that failed, runs as it is. On a CPU only the copying remains: the step and its bits
    are the same.

    Not measured on a GPU yet.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self._step = step
        self._device = device
        self._held: Batch | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._can_record = device.type == "cuda"
        self._done = 0

    def __call__(self, batch: Batch) -> None:
        """Run one step."""
        if self._held is None:
            self._held = _copy(batch)
        elif not _is_alike(self._held, batch):
            self._step(batch)
            return
        else:
            _copy_into(self._held, batch)
        if self._graph is None and self._can_record:
            self._warm_up_or_record(self._held)
        elif self._graph is None:
            self._step(self._held)
        if self._graph is not None:
            self._graph.replay()

    def _warm_up_or_record(self, held: Batch) -> None:
        """Run the step, or record it without running it."""
        if self._done < WARM_UP_STEPS:
            self._done += 1
            aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(aside):
                self._step(held)
            torch.cuda.current_stream(self._device).wait_stream(aside)
            return
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step(held)
        except RuntimeError:
            # The step waits for the device somewhere, or a library cannot be recorded. Nothing of it has run; an
            # error of its own comes up again when it does.
            self._can_record = False
            torch.cuda.synchronize(self._device)
            self._step(held)
        else:
            self._graph = graph


def _copy(batch: Batch) -> Batch:
    return replace(
        batch,
        images=batch.images.clone(),
        labels=batch.labels.clone(),
        forget_indices=None if batch.forget_indices is None else batch.forget_indices.clone(),
    )


def _pairs(held: Batch, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    pairs = [(held.images, batch.images), (held.labels, batch.labels)]
    if held.forget_indices is not None and batch.forget_indices is not None:
        pairs.append((held.forget_indices, batch.forget_indices))
    return pairs


def _numbers(batch: Batch) -> tuple[float, ...]:
    return batch.forget_count, batch.forget_weight, batch.rank_weight, batch.forget_rank_weight


def _is_alike(held: Batch, batch: Batch) -> bool:
    """Return whether the batches differ in the values of their tensors alone."""
    return (
        _numbers(held) == _numbers(batch)
        and (held.forget_indices is None) == (batch.forget_indices is None)
        and all(old.shape == new.shape and old.dtype == new.dtype for old, new in _pairs(held, batch))
    )


def _copy_into(held: Batch, batch: Batch) -> None:
    for old, new in _pairs(held, batch):
        old.copy_(new, non_blocking=True)
