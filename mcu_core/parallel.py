"""Several processes that train one model together, as `torchrun` starts them. One process alone notices nothing.

Every rank draws the same batches, reads its part of each and averages its gradients with the others', so the weights
are the same everywhere. BatchNorm normalises by the statistics of a rank's own share on a CPU; on CUDA it becomes
SyncBatchNorm, which uses those of the whole batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist


@contextmanager
def joined() -> Iterator[int]:
    """Join the processes that `torchrun` started together, and leave them at the end.

    Yields:
        The rank of this process; 0 where there is only one. `leave` ends the company earlier.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield dist.get_rank()
    finally:
        leave()


def leave() -> None:
    """Leave the other ranks; from now on this process works alone."""
    if ranks() > 1:
        dist.destroy_process_group()


def ranks() -> int:
    """Return how many processes work together; 1 outside of `joined`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if ranks() > 1 else 0


def average_(tensor: Tensor) -> None:
    """Replace a floating tensor by its mean over all ranks, the same bits on each."""
    if ranks() > 1:
        dist.all_reduce(tensor)
        tensor.div_(ranks())


def agree_(tensor: Tensor) -> None:
    """Replace a tensor by that of rank 0: kernels that round by chance must not let the ranks drift apart."""
    if ranks() > 1:
        dist.broadcast(tensor, src=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What one rank reads of a batch that all ranks have drawn alike."""

    rows: Tensor
    """int64 `[m]`, m ≥ 1: positions in the whole batch."""
    whole: int
    """Rows of the whole batch."""
    weight: float
    """Of the mean over these rows: the mean of the ranks' weighted means is the mean over the whole batch."""


def own_part(count: int) -> Part:
    """Return what this rank reads of a batch of `count` rows; see `part_of`."""
    return part_of(count, rank(), ranks())


def part_of(count: int, index: int, among: int) -> Part:
    """Return what one of several ranks reads of the rows of one batch.

    Rank r of R takes the rows r, r + R, r + 2R, ..., m of n, and its mean weighs m R / n. A rank for which none is left
    reads the first one, since a mean needs a row, with weight 0.

    Args:
        count: n ≥ 1.
        index: r.
        among: R.

    Returns:
        The part; all rows with weight 1 where there is one rank.
    """
    rows = torch.arange(count)[index::among]
    if not len(rows):
        return Part(rows=torch.zeros(1, dtype=torch.int64), whole=count, weight=0.0)
    return Part(rows=rows, whole=count, weight=len(rows) * among / count)


def synchronise_batchnorm(network: nn.Module, device: torch.device) -> nn.Module:
    """Return the network with statistics over all ranks, where torch can: on CUDA, with more ranks than one.

    Not measured on a GPU yet.
    """
    if ranks() == 1 or device.type != "cuda":
        return network
    result: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return result
