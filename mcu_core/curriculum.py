"""Curriculum learning: epochs that draw from the easiest samples first."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mcu_core.config import Augmentation
from mcu_core.data import Batches
from mcu_core.types import Batch

Make = Callable[[Sequence[Tensor]], Batches]
"""Makes batches of groups of samples, int64 `[n_i]` each; the first group is D_f's where the batches mix."""


@dataclass(slots=True, kw_only=True, eq=False)
class CurriculumBatches:
    """One stage an epoch; the last stage goes on where there are more epochs. Made for one training."""

    stages: tuple[Batches, ...]
    """All with the same number of steps."""
    places: tuple[Tensor, ...]
    """int64 `[n_0]` by stage: which sample of the first group each of its rows is."""
    drawn: int = 0
    """Epochs so far."""

    @property
    def steps(self) -> int:
        """Return the number of batches an epoch, the same in all epochs."""
        return self.stages[0].steps

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield the next epoch."""
        index = min(self.drawn, len(self.stages) - 1)
        self.drawn += 1
        for batch in self.stages[index].draw(rng, augmentation):
            if batch.forget_indices is None:
                yield batch
            else:
                places = self.places[index].to(batch.forget_indices.device)
                yield replace(batch, forget_indices=places[batch.forget_indices])


def easy_to_hard(
    groups: Sequence[Tensor], difficulties: Sequence[Tensor], make: Make, *, start: float, epochs: int
) -> CurriculumBatches:
    """Return batches whose epoch e of E draws from the easiest share of each group.

    s_e = s_0 + (1 - s_0) e / (E - 1), e from 0; ⌈s_e n⌉ samples, repeated in turn until they are n

    So every epoch has as many rows, steps and forget rows as one without a curriculum, and the last one reads all: a
    training with and one without cost the same. Each group is paced by itself: D_f and D_r keep their ratio.

    Args:
        groups: int64 `[n_i]` each, not empty.
        difficulties: float `[n_i]` each: lower is easier, such as the loss of a scoring model.
        make: makes the batches of one epoch.
        start: s_0 in (0, 1].
        epochs: E; a single epoch reads all.

    Returns:
        Batches for one training.

    Source: pacing of Bengio et al. (ICML 2009) with scores of Hacohen & Weinshall (arXiv 1904.03626): a model trained
        before judges. Linear pacing and the repetition are ours; arXiv 2504.06407 leaves them open.
    """
    orders = [difficulty.argsort(stable=True) for difficulty in difficulties]
    stages, places = [], []
    for epoch in range(epochs):
        share = start + (1.0 - start) * epoch / (epochs - 1) if epochs > 1 else 1.0
        chosen = [_repeat_easiest(order, share) for order in orders]
        stages.append(make([rows[place.to(rows.device)] for rows, place in zip(groups, chosen, strict=True)]))
        places.append(chosen[0])
    return CurriculumBatches(stages=tuple(stages), places=tuple(places))


def _repeat_easiest(order: Tensor, share: float) -> Tensor:
    count = len(order)
    easiest = order[: math.ceil(share * count - 1e-9)]  # s_e may exceed a whole number by a rounding
    return easiest.repeat(math.ceil(count / len(easiest)))[:count]
