"""The relearning probe: does one epoch on D_r bring D_f back?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.config import Schedule, TrainConfig
from mcu_core.data import PlainBatches, subsample
from mcu_core.errors import DivergedError
from mcu_core.losses import cross_entropy
from mcu_core.runtime import Runtime
from mcu_core.training import minimise
from mcu_core.types import Phase, Progress, State, ignore_progress

RECIPE = TrainConfig(
    epochs=1, learning_rate=0.01, momentum=0.9, weight_decay=0.0, batch_size=128, schedule=Schedule.CONSTANT
)
"""The original's family of recipes at a modest rate, a tenth of what it was trained with: enough to slide back into a
basin that is still there, too little to learn D_f anew from D_r."""
MAX_IMAGES = 50_000
"""Images of D_r in the epoch: all of CIFAR's; of more, so many show it as well and keep the probe within minutes."""
MARKS = (0.25, 0.5, 1.0)
"""Shares of the epoch after which the model is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relearned:
    """The candidate after a part of the epoch."""

    epochs: float
    state: State


def relearn(
    runtime: Runtime, candidate: State, retain: Tensor, rng: torch.Generator, *, progress: Progress = ignore_progress
) -> tuple[Relearned, ...]:
    """Train the candidate on D_r for one epoch by `RECIPE`.

    Each part of the epoch is a training of its own: momentum starts from 0 at each mark, and ten steps later has
    forgotten that it did.

    Args:
        runtime: network, the samples that the run could read, device and the run's own arithmetic.
        candidate: where it begins; not changed.
        retain: int64 `[n]`, D_r.
        rng: draws at most `MAX_IMAGES` of them and their order.
        progress: told at every step.

    Returns:
        The model at each of `MARKS`.

    Raises:
        DivergedError: the candidate does not stand a modest training.
    """
    rows = subsample(retain, MAX_IMAGES, rng)
    rows = rows[torch.randperm(len(rows), generator=rng)]
    state, start, models = candidate, 0, []
    for mark in MARKS:
        end = round(mark * len(rows))
        if end - start > 1:  # BatchNorm needs two images
            state = _trained(runtime, state, rows[start:end], rng, progress)
            start = end
        models.append(Relearned(epochs=mark, state=state))
    return tuple(models)


def _trained(runtime: Runtime, state: State, rows: Tensor, rng: torch.Generator, progress: Progress) -> State:
    batches = PlainBatches(reader=runtime.reader, rows=rows, size=RECIPE.batch_size)
    lower = "the learning rate of the unlearning"
    try:
        return minimise(
            runtime, state, cross_entropy, batches, RECIPE, rng=rng, phase=Phase.AUDIT, lower=lower, progress=progress
        )
    except DivergedError as error:
        raise DivergedError(f"the candidate does not stand the relearning of the audit: {error}") from error
