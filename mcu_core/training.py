"""The only optimisation loop, and the gradient of a whole data set."""

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.config import Optimiser, TrainConfig
from mcu_core.curriculum import CurriculumBatches
from mcu_core.data import Batches
from mcu_core.errors import ConfigurationError, DivergedError
from mcu_core.network import TrainedNetwork
from mcu_core.optimiser import build_optimiser, learning_rate
from mcu_core.packing import Layout, layout_of
from mcu_core.parallel import agree_, average_, rank
from mcu_core.replay import Replay
from mcu_core.runtime import Runtime
from mcu_core.sophia import SophiaG, bartlett_estimate
from mcu_core.types import Batch, Params, Phase, Progress, ProgressUpdate, State, ignore_progress

DIVERGED_LOSS = 1e3
"""Nats. A mean loss beyond this ends the training; guessing costs ln(classes), 12 at most."""

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

    def packed(self, layout: Layout, /) -> "PackedPlacement":
        """Return the same placement of flat tensors."""


class PackedPlacement(Protocol):
    """A placement of all tensors at once, whose numbers are tensors: a CUDA graph can hold `write`."""

    def advance(self) -> None:
        """Go on to where the next step evaluates; called once before each `write`, outside of a graph."""

    def write(self, trained: Tensor, evaluated: Tensor, /) -> Tensor:
        """Write the evaluated parameters and return ∂evaluated/∂trained, one scalar for all elements."""


class Penalty(Protocol):
    """Pulls at the trained tensors themselves, besides the loss and whatever the batch."""

    def __call__(self, trained: Params, /) -> tuple[Tensor, ...]:
        """Return its gradient, one tensor for each of `trained`, in that order."""


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
    penalty: Penalty | None = None,
    after_epoch: AfterEpoch | None = None,
    progress: Progress = ignore_progress,
) -> State:
    """Run SGD with momentum, or the optimiser that the configuration names, over seeded batches.

    g = (∂φ/∂θ) · ∇_φ L(φ(θ)) + ∇R(θ) + λ θ;  v ← μ v + g;  θ ← θ - η v, on the tensors of the mask alone. Without a
    placement φ is θ itself. See `build_optimiser` for AdamW and Sophia-G. The mask acts on the update, so momentum and
    weight decay leave the other tensors as they are, and no gradient is computed for them. Mask and placement are all
    that MCU adds to a plain training.

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
        penalty: ∇R; `None` is 0.
        after_epoch: may end the training early.
        progress: told at every step.

    Returns:
        θ, where tensors off the mask are the ones of `start`, and the buffers as training left them.

    Raises:
        ConfigurationError: the configuration asks for a curriculum, which this training does not have.
        DivergedError: a loss or a weight is not finite, or the mean loss of an epoch exceeds `DIVERGED_LOSS`.
    """
    if config.curriculum_start < 1.0 and not isinstance(batches, CurriculumBatches):
        raise ConfigurationError(f"train.curriculum_start must be 1 in the phase {phase.value}: it has no curriculum")
    descent = Descent(runtime, start, loss, config, mask=mask, placement=placement, penalty=penalty)
    total = config.epochs * batches.steps
    with torch.random.fork_rng(devices=[runtime.device] if runtime.device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=rng)) + rank())
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


class Descent:
    """One training, step by step; `minimise` runs it to its end.

    It changes its tensors in place, and its sums stay on the device within an epoch.

    θ, φ(θ) and the gradient are one flat tensor each; the network's parameters are views of φ(θ). Without a placement
    φ(θ) and θ are the same memory.
    """

    def __init__(
        self,
        runtime: Runtime,
        start: State,
        loss: Loss,
        config: TrainConfig,
        *,
        mask: Mask | None,
        placement: Placement | None,
        penalty: Penalty | None,
    ) -> None:
        self._runtime = runtime
        self._loss = loss
        self._penalty = penalty
        names = frozenset(name for name in start.params if mask is None or name in mask)
        self._layout = layout_of(start.params, names)
        self._theta = self._layout.pack(start.params)
        agree_(self._theta)
        self._leaf = self._theta[: self._layout.moving_size]
        self._leaf.grad = torch.zeros_like(self._leaf)
        self._gradient = self._leaf.grad
        self._gradients = list(self._layout.views(self._gradient).values())
        self._trained = self._layout.views(self._leaf)
        self._place = None if placement is None else placement.packed(self._layout)
        self._point = self._theta if self._place is None else torch.empty_like(self._theta)
        self._network = TrainedNetwork(runtime, start.buffers, self._layout, self._point, names)
        self._kept = _outside(mask, self._layout, self._leaf)
        self._rate = torch.zeros((), dtype=self._theta.dtype, device=self._theta.device)
        self._optimiser = build_optimiser(self._leaf, self._rate, config)
        self._total_loss = torch.zeros((), dtype=torch.float64, device=runtime.device)
        self._right = torch.zeros((), dtype=torch.int64, device=runtime.device)
        can_record = runtime.device.type == "cuda" and config.optimiser is not Optimiser.SOPHIA_G
        self._update = Replay(self._compute, runtime.device) if can_record else self._compute
        self._reset()

    def _reset(self) -> None:
        self._total_loss.zero_()
        self._right.zero_()
        self._batches = 0
        self._rows = 0

    def step(self, batch: Batch, rate: float) -> None:
        """Change θ by one batch at the learning rate `rate`."""
        self._rate.fill_(rate)
        if self._place is not None:
            self._place.advance()
        self._update(batch)
        self._network.steps += 1
        self._batches += 1
        self._rows += len(batch.labels)

    def _compute(self, batch: Batch) -> None:
        """Change θ by one batch. A CUDA graph holds all of it: tensors in place, and no number of this batch alone."""
        factor = None if self._place is None else self._place.write(self._theta, self._point)
        logits = self._network.forward(batch.images)
        loss = self._loss(logits, batch)
        if batch.rank_weight != 1.0:
            loss = loss * batch.rank_weight
        if isinstance(self._optimiser, SophiaG) and self._optimiser.is_estimate_due:
            self._optimiser.take_estimate([self._curvature(logits, factor)])
        gradients = torch.autograd.grad(loss, self._network.moving)
        torch._foreach_copy_(self._gradients, gradients)
        if factor is not None:
            self._gradient.mul_(factor)
        if self._penalty is not None:
            torch._foreach_add_(self._gradients, self._penalty(self._trained))
        average_(self._gradient)
        self._optimiser.step()
        if self._kept is not None:
            moves, before = self._kept
            self._leaf.copy_(torch.where(moves, self._leaf, before))
        self._total_loss += loss.detach()
        self._right += (logits.detach().argmax(dim=1) == batch.labels).sum()

    def _curvature(self, logits: Tensor, factor: Tensor | None) -> Tensor:
        """Return the estimated diagonal of the curvature, laid out as the leaf is.

        Each rank's is unbiased for its own rows, hence their mean for the whole batch where they have equally many.
        """
        estimate = torch.zeros_like(self._leaf)
        parts = bartlett_estimate(logits, self._network.moving, factor, retain_graph=True)
        torch._foreach_copy_(list(self._layout.views(estimate).values()), parts)
        average_(estimate)
        return estimate

    def end_epoch(self, index: int) -> Epoch:
        """Return what the epoch `index` showed and begin the next; all ranks get the same answer."""
        # One element that is not finite makes the norm not finite.
        rows = torch.full_like(self._total_loss, self._rows)
        sums = torch.stack([self._total_loss, self._right.double(), rows, self._leaf.norm().double()])
        average_(sums)  # so that all ranks end at the same epoch
        loss, right, read, size = sums.tolist()
        mean = loss / self._batches if math.isfinite(size) else math.nan
        epoch = Epoch(index=index, loss=mean, accuracy=right / read)
        self._reset()
        return epoch

    def state(self, start: State) -> State:
        """Return θ, where tensors that did not move are those of `start`, and the buffers, as copies."""
        # `contiguous()` would keep the strides of tensors that are contiguous in both layouts, and convolutions round
        # differently by layout: the same weights must answer the same before and after they are stored.
        trained = self._layout.views(self._leaf)
        params = {
            name: trained.get(name, tensor).detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in start.params.items()
        }
        return State(params=params, buffers=self._network.buffers())


def _outside(mask: Mask | None, layout: Layout, leaf: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return where the elements move and their start, where some do not."""
    if not isinstance(mask, Mapping) or all(bool(part.all()) for part in mask.values()):
        return None
    return layout.pack(mask)[: len(leaf)], leaf.clone()


def _refuse_divergence(epoch: Epoch, config: TrainConfig, lower: str) -> None:
    if math.isfinite(epoch.loss) and abs(epoch.loss) <= DIVERGED_LOSS:
        return
    raise DivergedError(
        f"training diverged in epoch {epoch.index + 1} of {config.epochs} (mean loss {epoch.loss:.3g}): lower {lower}; "
        f"the learning rate is {config.learning_rate:g}"
    )


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
    for summed in total:
        agree_(summed)
    return dict(zip(point, total, strict=True))
