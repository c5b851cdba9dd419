"""Measuring the pathway at many t at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mcu_core.config import SelectionConfig
from mcu_core.connectivity.distribution import Distance, distance
from mcu_core.data import match_classes, subsample
from mcu_core.inference import ask, reestimate_batchnorm, reestimate_buffers
from mcu_core.losses import probability_logit
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
    compared: Tensor | None
    """Positions in `validation`, class-matched to D_f where D_v has its classes: what D_f should look like. `None`
    where a class goes entirely: the original knows it in D_v too, and only accuracies say whether it is forgotten."""
    known_forget: Tensor
    """float64 `[n_f]`: φ that a teacher has on D_f, taken off before the comparison; 0 without a teacher."""
    known_compared: Tensor
    """The same on `compared`."""


def selection_rows(problem: Problem, config: SelectionConfig, rng: torch.Generator) -> SelectionRows:
    """Draw what the choice of a point reads.

    Where a teacher answers for both sides its φ is taken off, so that how hard the samples of D_f are plays no part.
    """
    labels, teacher = problem.data.labels, problem.teacher
    known = problem.forget[torch.isin(labels[problem.forget], labels[problem.validation])]
    compared = torch.arange(len(problem.validation))
    if len(known):
        compared = match_classes(labels[problem.validation], compared, labels[known], rng)
    return SelectionRows(
        batchnorm=subsample(problem.retain, config.batchnorm_images, rng),
        forget=problem.forget,
        retain=subsample(problem.retain, config.retain_images, rng),
        validation=problem.validation,
        compared=None if problem.gone_classes else compared,
        known_forget=_known(None if teacher is None else teacher.forget, labels[problem.forget]),
        known_compared=_known(None if teacher is None else teacher.validation, labels[problem.validation])[compared],
    )


def _known(answers: Tensor | None, labels: Tensor) -> Tensor:
    if answers is None:
        return torch.zeros(len(labels), dtype=torch.float64)
    return probability_logit(answers, labels)


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
                distance=self._distance(forget[i].score, validation[i].score),
            )
            for i, t in enumerate(positions)
        )

    def _distance(self, forget: Tensor, validation: Tensor) -> Distance | None:
        if self.rows.compared is None:
            return None
        own = forget.double() - self.rows.known_forget
        unseen = validation[self.rows.compared].double() - self.rows.known_compared
        return distance(own.numpy(), unseen.numpy())

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
