"""Measuring the pathway at many t at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcu_core.config import SelectionConfig
from mcu_core.connectivity.distribution import Distance, distance
from mcu_core.data import match_classes, subsample
from mcu_core.inference import ask, reestimate_batchnorm, reestimate_buffers
from mcu_core.report import PathPoint, References
from mcu_core.runtime import Runtime
from mcu_core.types import Buffers, Pathway, Phase, Problem, Progress, ProgressUpdate, State, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelectionRows:
    """All that the choice of a point may read. D_t and the sealed samples are not among it."""

    batchnorm: Tensor
    """Of D_r."""
    forget: Tensor
    retain: Tensor
    """Of D_r."""
    validation: Tensor
    compared: Tensor
    """Positions in `validation`, class-matched to D_f where D_v has its classes: what D_f should look like."""


def selection_rows(problem: Problem, config: SelectionConfig, rng: torch.Generator) -> SelectionRows:
    """Draw what the choice of a point reads."""
    labels = problem.data.labels
    known = problem.forget[torch.isin(labels[problem.forget], labels[problem.validation])]
    compared = torch.arange(len(problem.validation))
    if len(known):
        compared = match_classes(labels[problem.validation], compared, labels[known], rng)
    return SelectionRows(
        batchnorm=subsample(problem.retain, config.batchnorm_images, rng),
        forget=problem.forget,
        retain=subsample(problem.retain, config.retain_images, rng),
        validation=problem.validation,
        compared=compared,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """A pathway together with what measuring a point of it needs."""

    runtime: Runtime
    pathway: Pathway
    buffers: Buffers
    """Of the original: what is no statistic of BatchNorm is taken from here."""
    rows: SelectionRows
    references: References
    progress: Progress = ignore_progress

    def measure(self, positions: Sequence[float]) -> tuple[PathPoint, ...]:
        """Measure the models at several t, reading every sample once for all of them.

        BatchNorm statistics are estimated anew at every t, from D_r only. gap = (|RA - A_train| + |FA - A_v|) / 2

        Args:
            positions: t in [0, 1].

        Returns:
            A point each, in the same order.

        Source: arXiv 2505.10859, section 2.5.
        """
        points = [partial(self.pathway.at, t) for t in positions]
        parts = (self.rows.batchnorm, self.rows.forget, self.rows.retain, self.rows.validation)
        steps = sum(self.runtime.chunk_count(part) for part in parts)
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            self.progress(ProgressUpdate(phase=Phase.SELECT, epoch=0, epochs=1, step=done, steps=steps))

        buffers = reestimate_buffers(self.runtime, points, self.buffers, self.rows.batchnorm, tick=tick)
        models = list(zip(points, buffers, strict=True))
        forget, retain, validation = (ask(self.runtime, models, part, tick=tick) for part in parts[1:])
        return tuple(
            path_point(
                t,
                forget=forget[i].right / len(self.rows.forget),
                retain=retain[i].right / len(self.rows.retain),
                validation=validation[i].right / len(self.rows.validation),
                references=self.references,
                distance=distance(_double(forget[i].score), _double(validation[i].score[self.rows.compared])),
            )
            for i, t in enumerate(positions)
        )

    def state_at(self, t: float) -> State:
        """Return the model at t with BatchNorm statistics of D_r."""
        state = State(params=self.pathway.at(t), buffers=self.buffers)
        return reestimate_batchnorm(self.runtime, state, self.rows.batchnorm)


def path_point(
    t: float,
    *,
    forget: float,
    retain: float,
    validation: float,
    references: References,
    distance: Distance | None = None,
) -> PathPoint:
    """Return a point with its alignment gap, (|RA - A_train| + |FA - A_v|) / 2."""
    gap = (abs(retain - references.train_accuracy) + abs(forget - references.validation_accuracy)) / 2.0
    return PathPoint(
        t=t,
        forget_accuracy=forget,
        retain_accuracy=retain,
        validation_accuracy=validation,
        gap=gap,
        auc=None if distance is None else distance.auc,
        distance=None if distance is None else distance.total,
    )


def _double(score: Tensor) -> NDArray[np.float64]:
    result: NDArray[np.float64] = score.double().numpy()
    return result
