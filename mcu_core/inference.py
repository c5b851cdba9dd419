"""Forward passes without gradient: logits, counts of right answers, and BatchNorm statistics of D_r."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from mcu_core.errors import DivergedError
from mcu_core.losses import label_logit
from mcu_core.parallel import agree_
from mcu_core.runtime import Runtime
from mcu_core.types import Batch, Buffers, Params, Problem, State

Point = Callable[[], Params]
"""Makes the parameters of one model when they are needed, so that many points need the memory of one."""

Tick = Callable[[], None]
"""Called after each batch."""


def logits(runtime: Runtime, state: State, rows: Tensor) -> Tensor:
    """Return a model's outputs in eval mode.

    Args:
        runtime: network, samples, device and arithmetic.
        state: weights and buffers.
        rows: int64 `[N]`.

    Returns:
        float32 `[N, K]` on the CPU, in the order of `rows`.

    Raises:
        DivergedError: an output is not finite.
    """
    network = runtime.network()
    with torch.inference_mode():
        parts = [runtime.forward(network, state.params, state.buffers, batch).cpu() for batch in runtime.chunks(rows)]
    return join_outputs(parts)


def join_outputs(parts: Sequence[Tensor]) -> Tensor:
    """Return one model's outputs on all batches, float `[N, K]`, of those on each, which inference mode may have made.

    Raises:
        DivergedError: an output is not finite.
    """
    result = torch.cat(list(parts)).clone()  # outside of inference mode: a normal tensor again
    wrong = int((~result.isfinite()).any(dim=1).sum())
    if wrong:
        raise DivergedError(f"the model's output is not finite on {wrong} of {len(result)} samples")
    return result


def each_output(
    runtime: Runtime,
    network: nn.Module,
    points: Sequence[tuple[Point, Buffers]],
    rows: Tensor,
    *,
    tick: Tick = lambda: None,
) -> Iterator[tuple[int, Batch, Tensor]]:
    """Yield every model's outputs on every batch, reading each sample once; to be consumed in inference mode.

    Args:
        runtime: samples, device and arithmetic.
        network: that the models share, in eval mode.
        points: parameters and buffers of each.
        rows: int64 `[N]`.
        tick: called after each batch.

    Yields:
        Index of the model, the batch, and float32 `[B, K]` on the device.
    """
    for batch in runtime.chunks(rows):
        for index, (point, buffers) in enumerate(points):
            yield index, batch, runtime.forward(network, point(), buffers, batch)
        tick()


def sample_losses(runtime: Runtime, state: State, rows: Tensor) -> Tensor:
    """Return each sample's cross-entropy in eval mode, float32 `[N]` on the CPU, in nats; errors as `logits`."""
    labels = runtime.reader.data.labels[rows]
    return functional.cross_entropy(logits(runtime, state, rows), labels, reduction="none")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one model says of some samples."""

    right: int
    """On how many its largest output is the label's."""
    score: Tensor
    """φ, float32 `[N]` on the CPU."""


def ask(
    runtime: Runtime, points: Sequence[tuple[Point, Buffers]], rows: Tensor, *, tick: Tick = lambda: None
) -> list[Answers]:
    """Ask several models about the same samples, reading each sample once.

    Args:
        runtime: the network that they share, samples, device and arithmetic.
        points: parameters and buffers of each.
        rows: int64 `[N]`.
        tick: called after each batch.

    Returns:
        The answers of each model.
    """
    network = runtime.network()
    right = torch.zeros(len(points), dtype=torch.int64, device=runtime.device)
    scores: list[list[Tensor]] = [[] for _ in points]
    with torch.inference_mode():
        for index, batch, outputs in each_output(runtime, network, points, rows, tick=tick):
            right[index] += (outputs.argmax(dim=1) == batch.labels).sum()
            scores[index].append(label_logit(outputs, batch.labels))
        agree_(right)
        whole = torch.stack([torch.cat(parts) for parts in scores])
    agree_(whole)
    return [Answers(right=count, score=score) for count, score in zip(right.tolist(), whole.cpu().clone(), strict=True)]


def count_right(
    runtime: Runtime, points: Sequence[tuple[Point, Buffers]], rows: Tensor, *, tick: Tick = lambda: None
) -> list[int]:
    """Count the right answers of several models; see `ask`."""
    return [answers.right for answers in ask(runtime, points, rows, tick=tick)]


def accuracy(runtime: Runtime, state: State, rows: Tensor) -> float:
    """Return the share of `rows`, int64 `[N]`, that a model in eval mode answers rightly."""
    (right,) = count_right(runtime, [(lambda: state.params, state.buffers)], rows)
    return right / len(rows)


def unseen_accuracy(problem: Problem, runtime: Runtime) -> float:
    """Return A_v, the accuracy on D_f that a model would have which never saw it.

    A_v = (share of D_f whose class remains in D_r) · Acc(D_v; θ_o)

    A model that never had a sample of a class answers it wrongly: A_v is 0 for class-wise deletion, as in the paper.

    Args:
        problem: the original, D_v, and the labels of D_f and D_r.
        runtime: network, samples, device and arithmetic.

    Returns:
        A fraction.

    Source: arXiv 2505.10859, section 2.4; the share in between is ours.
    """
    forget, retain = problem.data.labels[problem.forget], problem.data.labels[problem.retain]
    remaining = float(torch.isin(forget, retain).float().mean())
    return remaining * accuracy(runtime, problem.original, problem.validation)


def reestimate_batchnorm(runtime: Runtime, state: State, rows: Tensor) -> State:
    """Return the state with BatchNorm statistics of the given rows.

    Args:
        runtime: network, samples, device and arithmetic.
        state: its parameters stay; its statistics are forgotten, other buffers stay.
        rows: int64 `[N]`, of D_r only, at least 2.

    Returns:
        A new state; equal to the old one where the model has no BatchNorm.
    """
    (buffers,) = reestimate_buffers(runtime, [lambda: state.params], state.buffers, rows)
    return State(params=state.params, buffers=buffers)


def reestimate_buffers(
    runtime: Runtime, points: Sequence[Point], buffers: Buffers, rows: Tensor, *, tick: Tick = lambda: None
) -> list[Buffers]:
    """Estimate BatchNorm statistics of several models anew, reading each sample once.

    Mean and variance are the cumulative averages over batches of the batch statistics; what they were before has no
    weight. Only BatchNorm runs in train mode: dropout stays off.

    Args:
        runtime: the network that they share, samples, device and arithmetic.
        points: the parameters of each.
        buffers: of any of them; what is no statistic of BatchNorm is kept.
        rows: int64 `[N]`, of D_r only, at least 2.
        tick: called after each batch.

    Returns:
        The buffers of each model.

    Source: Izmailov et al., arXiv 1803.05407, section 3.2. That only D_r is read is our own rule.
    """
    network = runtime.network()
    estimated = _cumulate(network)
    fresh: list[Buffers] = [
        {name: torch.zeros_like(tensor) if name in estimated else tensor for name, tensor in buffers.items()}
        for _ in points
    ]
    if not estimated:
        return fresh
    with torch.no_grad():
        for batch in runtime.chunks(rows):
            for point, statistics in zip(points, fresh, strict=True):
                runtime.forward(network, point(), statistics, batch)
            tick()
    return fresh


def batchnorm_buffers(runtime: Runtime) -> set[str]:
    """Return the names of the buffers that `reestimate_buffers` estimates; none where the model has no BatchNorm."""
    return _cumulate(runtime.network())


def _cumulate(network: nn.Module) -> set[str]:
    """Let all BatchNorm modules average cumulatively; return the names of their buffers."""
    estimated: set[str] = set()
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.train()
            module.momentum = None  # torch's spelling of a cumulative average
            prefix = f"{name}." if name else ""
            estimated |= {prefix + part for part in ("running_mean", "running_var", "num_batches_tracked")}
    return estimated
