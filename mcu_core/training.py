"""The only optimisation loop, and the gradient of a whole data set."""

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.config import Schedule, TrainConfig
from mcu_core.data import Batches
from mcu_core.errors import DivergedError
from mcu_core.runtime import Runtime
from mcu_core.types import Batch, Params, Phase, Progress, ProgressUpdate, State, ignore_progress

DIVERGED_LOSS = 1e3
"""Nats. A mean loss beyond this ends the training; guessing costs ln(classes), 12 at most."""
WARM_UP = 0.25
"""Share of the steps in which `ONE_CYCLE` rises."""

Loss = Callable[[Tensor, Batch], Tensor]
"""Logits float32 `[B, K]` and their batch in, a scalar out."""

Mask = AbstractSet[str] | Params
"""Names of the tensors that move, or a bool tensor for each that is true where an element moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch of training showed, measured while the weights moved."""

    index: int
    """From 0."""
    loss: float
    accuracy: float
    """Of all rows that were read, D_f's included."""


class AfterEpoch(Protocol):
    """Decides after each epoch whether to end."""

    def __call__(self, epoch: Epoch, /) -> bool:
        """Return whether training ends here."""


class Placement(Protocol):
    """Where the model is evaluated, given the tensors that are trained."""

    def __call__(self, trained: Params, /) -> tuple[Params, Tensor | None]:
        """Return the evaluated parameters (all names) and ∂evaluated/∂trained, one scalar for all tensors.

        `None` stands for 1. The evaluated tensors are new to autograd: detached and not shared with an earlier call.
        """


def minimise(
    runtime: Runtime,
    start: State,
    loss: Loss,
    batches: Batches,
    config: TrainConfig,
    *,
    rng: torch.Generator,
    phase: Phase,
    lower: str,
    mask: Mask | None = None,
    placement: Placement | None = None,
    after_epoch: AfterEpoch | None = None,
    progress: Progress = ignore_progress,
) -> State:
    """Run SGD with momentum over seeded batches.

    g = (∂φ/∂θ) · ∇_φ L(φ(θ)) + λ θ;  v ← μ v + g;  θ ← θ - η v, on the tensors of the mask alone. Without a placement
    φ is θ itself. The mask acts on the update, so momentum and weight decay leave the other tensors as they are, and
    no gradient is computed for them. Mask and placement are all that MCU adds to a plain training.

    Args:
        runtime: network, samples, device; neither they nor the global random state are changed.
        start: where θ and the buffers begin.
        loss: of the logits of one batch, computed in train mode.
        batches: what an epoch reads.
        config: epochs, η and its schedule, μ, λ, augmentation.
        rng: orders the batches, draws the views of augmented images, seeds dropout.
        phase: named in progress.
        lower: the setting that a diverged training should lower, for the message.
        mask: names of the tensors that move; `None` moves all.
        placement: φ; `None` is the identity.
        after_epoch: may end the training early.
        progress: told at every step.

    Returns:
        θ, where tensors off the mask are the ones of `start`, and the buffers as training left them.

    Raises:
        DivergedError: a loss or a weight is not finite, or the mean loss of an epoch exceeds `DIVERGED_LOSS`.
    """
    descent = _Descent(runtime, start, loss, config, mask=mask, placement=placement)
    total = config.epochs * batches.steps
    with torch.random.fork_rng(devices=[runtime.device] if runtime.device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=rng)))
        for index in range(config.epochs):
            for step, batch in enumerate(batches.draw(rng, config.augmentation)):
                descent.step(batch, learning_rate(config, index * batches.steps + step, total))
                progress(
                    ProgressUpdate(phase=phase, epoch=index, epochs=config.epochs, step=step + 1, steps=batches.steps)
                )
            epoch = descent.end_epoch(index)
            _refuse_divergence(epoch, config, lower)
            if after_epoch is not None and after_epoch(epoch):
                break
    return descent.state(start)


class _Descent:
    """The tensors of one training, changed in place, and its sums, which stay on the device within an epoch."""

    def __init__(
        self,
        runtime: Runtime,
        start: State,
        loss: Loss,
        config: TrainConfig,
        *,
        mask: Mask | None,
        placement: Placement | None,
    ) -> None:
        self._runtime = runtime
        self._network = runtime.network().train()
        self._loss = loss
        self._leaves = {
            name: _channels_last(tensor) for name, tensor in start.params.items() if mask is None or name in mask
        }
        self._kept = _outside(mask, self._leaves)
        fixed = {name: tensor for name, tensor in start.params.items() if name not in self._leaves}
        self._place = placement or _identity(fixed)
        self._buffers = {name: tensor.clone() for name, tensor in start.buffers.items()}
        self._optimiser = torch.optim.SGD(
            list(self._leaves.values()),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            foreach=True,
        )
        self._reset()

    def _reset(self) -> None:
        self._total_loss = torch.zeros((), dtype=torch.float64, device=self._runtime.device)
        self._right = torch.zeros((), dtype=torch.int64, device=self._runtime.device)
        self._batches = 0
        self._rows = 0

    def step(self, batch: Batch, rate: float) -> None:
        point, factor = self._place(self._leaves)
        moving = [point[name].requires_grad_() for name in self._leaves]
        logits = self._runtime.forward(self._network, point, self._buffers, batch)
        loss = self._loss(logits, batch)
        gradients = torch.autograd.grad(loss, moving)
        if factor is not None:
            gradients = torch._foreach_mul(gradients, factor)  # noqa: SLF001 - torch's multi-tensor names are all private
        for leaf, gradient in zip(self._leaves.values(), gradients, strict=True):
            leaf.grad = gradient
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.step()
        for leaf, moves, before in self._kept:
            leaf.copy_(torch.where(moves, leaf, before))
        self._total_loss += loss.detach()
        self._right += (logits.detach().argmax(dim=1) == batch.labels).sum()
        self._batches += 1
        self._rows += len(batch.labels)

    def end_epoch(self, index: int) -> Epoch:
        # One element that is not finite makes its tensor's norm, hence the sum of norms, not finite.
        norms = torch._foreach_norm(list(self._leaves.values()))  # noqa: SLF001 - as above
        weights = torch.stack(list(norms)).double().sum()
        loss, right, size = torch.stack([self._total_loss, self._right.double(), weights]).tolist()
        mean = loss / self._batches if math.isfinite(size) else math.nan
        epoch = Epoch(index=index, loss=mean, accuracy=right / self._rows)
        self._reset()
        return epoch

    def state(self, start: State) -> State:
        # `contiguous()` would keep the strides of tensors that are contiguous in both layouts, and convolutions round
        # differently by layout: the same weights must answer the same before and after they are stored.
        params = {
            name: self._leaves.get(name, tensor).detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in start.params.items()
        }
        return State(params=params, buffers=self._buffers)


def _outside(mask: Mask | None, leaves: Params) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (leaf, where it moves, its start) of the leaves that move in part."""
    if not isinstance(mask, Mapping):
        return []
    return [(leaf, mask[name], leaf.clone()) for name, leaf in leaves.items() if not bool(mask[name].all())]


def _identity(fixed: Params) -> Placement:
    def place(trained: Params, /) -> tuple[Params, Tensor | None]:
        return {**fixed, **{name: tensor.detach() for name, tensor in trained.items()}}, None

    return place


def _refuse_divergence(epoch: Epoch, config: TrainConfig, lower: str) -> None:
    if math.isfinite(epoch.loss) and abs(epoch.loss) <= DIVERGED_LOSS:
        return
    raise DivergedError(
        f"training diverged in epoch {epoch.index + 1} of {config.epochs} (mean loss {epoch.loss:.3g}): lower {lower}; "
        f"the learning rate is {config.learning_rate:g}"
    )


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


def mean_gradient(
    runtime: Runtime, state: State, rows: Tensor, *, phase: Phase, progress: Progress = ignore_progress
) -> Params:
    """Return the gradient of the mean cross-entropy over all rows, in eval mode and float32.

    ∇ (1/N) Σ_i CE(f_θ(x_i), y_i): exact, since every batch is weighted by its size

    Args:
        runtime: network, samples, device; float32 whatever its arithmetic, since this is computed only once.
        state: θ and its buffers.
        rows: int64 `[N]`, not empty.
        phase: named in progress.
        progress: told after every batch.

    Returns:
        One tensor by parameter.
    """
    precise = runtime.in_float32()
    network = precise.network()
    point = {name: tensor.detach().requires_grad_() for name, tensor in state.params.items()}
    total = [torch.zeros_like(tensor) for tensor in state.params.values()]
    for step, batch in enumerate(precise.chunks(rows)):
        logits = precise.forward(network, point, state.buffers, batch)
        loss = functional.cross_entropy(logits, batch.labels, reduction="sum") / len(rows)
        for summed, gradient in zip(total, torch.autograd.grad(loss, list(point.values())), strict=True):
            summed.add_(gradient)
        progress(ProgressUpdate(phase=phase, epoch=0, epochs=1, step=step + 1, steps=precise.chunk_count(rows)))
    return dict(zip(point, total, strict=True))


def _channels_last(tensor: Tensor) -> Tensor:
    """Return a copy in the layout that the convolutions of a channels-last batch take without a conversion."""
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.detach().clone(memory_format=layout)
