"""The records that flow through the core. Tensors inside them are never changed in place."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor, nn

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import DataError
from mcu_core.images import Images
from mcu_core.report import ModelName, PathwayReport, References

Params = Mapping[str, Tensor]
"""Parameter tensors by name."""
Buffers = Mapping[str, Tensor]
"""Persistent buffers by name, such as the statistics of BatchNorm."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Everything that one model learned."""

    params: Params
    buffers: Buffers

    def to(self, device: torch.device) -> "State":
        """Return the same state on a device."""
        return State(
            params={name: tensor.to(device) for name, tensor in self.params.items()},
            buffers={name: tensor.to(device) for name, tensor in self.buffers.items()},
        )

    @property
    def device(self) -> torch.device:
        """Return the device that the parameters lie on."""
        return next(iter(self.params.values())).device


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Samples as a network takes them, on the device that computes."""

    images: Tensor
    """float32 `[B, C, H, W]`, normalised, channels last in memory."""
    labels: Tensor
    """int64 `[B]`."""
    forget_count: int = 0
    """The first so many rows are D_f's; 0 where the batch does not mix."""
    forget_weight: float = 1.0
    """Of the loss of the forget rows; below 1 where a batch has more of them than its share."""
    rank_weight: float = 1.0
    """Of everything computed from this batch, where several ranks read unevenly many rows of the whole one: `Descent`
    multiplies every loss by it. Where the batch mixes, that of the mean over the retain rows, and `forget_weight`
    makes up for the difference."""
    forget_rank_weight: float = 1.0
    """Of the mean over the forget rows, likewise; for what is no loss."""
    forget_indices: Tensor | None = None
    """int64 `[forget_count]`, which samples of D_f the forget rows are, counted from 0; where the batch mixes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teacher:
    """What models that never saw it answer to each sample: see `references`."""

    forget: Tensor
    """To D_f: probabilities, float32 `[n_f, K]`."""
    validation: Tensor
    """To D_v, by the same mixture of models: probabilities, float32 `[n_v, K]`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """What a method may read: the model as it was, and which samples to forget, to keep and to measure on.

    The four index tensors are int64 positions in `data`, without duplicates and disjoint. The sealed samples of the
    audit cannot be read from here: see `images.GuardedImages`.
    """

    model: nn.Module
    """The architecture; its own weights are neither read nor changed."""
    architecture: ArchitectureConfig
    original: State
    data: Images
    forget: Tensor
    """D_f."""
    retain: Tensor
    """D_r."""
    validation: Tensor
    """D_v: held out, read by beta and by the choice of t."""
    test: Tensor
    """D_t: held out, read by the audit only."""
    teacher: Teacher | None = None
    """`None` where nobody made references."""

    def __post_init__(self) -> None:
        parts = {"forget": self.forget, "retain": self.retain, "validation": self.validation, "test": self.test}
        for name, rows in parts.items():
            if rows.dtype != torch.int64 or rows.ndim != 1:
                raise DataError(f"{name} must be int64 [n], got {rows.dtype} {tuple(rows.shape)}")
            least = 2 if name == "retain" else 1  # BatchNorm statistics need two images
            if len(rows) < least:
                raise DataError(f"{name} needs at least {least} samples, got {len(rows)}")
        rows = torch.cat(list(parts.values()))
        count = len(self.data.labels)
        outside = int(((rows < 0) | (rows >= count)).sum())
        if outside:
            raise DataError(f"{outside} positions lie outside the {count} samples")
        repeated = len(rows) - int(torch.bincount(rows, minlength=count).count_nonzero())
        if repeated:
            raise DataError(f"forget, retain, validation and test share or repeat {repeated} samples")
        check_labels(self.data.labels[rows], self.architecture.classes)
        if self.teacher is not None:
            for answers, rows in ((self.teacher.forget, self.forget), (self.teacher.validation, self.validation)):
                expected = (len(rows), self.architecture.classes)
                if tuple(answers.shape) != expected:
                    raise DataError(f"the teacher's answers must be {list(expected)}, got {list(answers.shape)}")

    @property
    def gone_classes(self) -> frozenset[int]:
        """Return the classes of D_f of which D_r has no sample."""
        forget, retain = (self.data.labels[rows] for rows in (self.forget, self.retain))
        return frozenset(forget.tolist()) - frozenset(retain.tolist())

    @property
    def device(self) -> torch.device:
        """Return the device that computes: where the original's parameters lie."""
        return self.original.device


def check_labels(labels: Tensor, classes: int) -> None:
    """Refuse labels that the model has no output for.

    Args:
        labels: int64 `[N]`.
        classes: width of the model's output.

    Raises:
        DataError: a label lies outside `[0, classes)`.
    """
    wrong = int(((labels < 0) | (labels >= classes)).sum())
    if wrong:
        raise DataError(f"{wrong} of {len(labels)} labels lie outside the model's {classes} classes")


def exact_end(t: float, first: Params, last: Params) -> Params | None:
    """Return the end of a path on which t lies, bit for bit; `None` for a t between the ends.

    Raises:
        ValueError: t lies outside [0, 1].
    """
    if not 0.0 <= t <= 1.0:
        raise ValueError(f"t must lie in [0, 1], got {t}")
    if 0.0 < t < 1.0:
        return None
    return dict(last if t else first)


def bernstein(t: float) -> tuple[float, float, float]:
    """Return the weights of original, control and end on a quadratic Bezier curve.

    ((1 - t)², 2 t (1 - t), t²)

    Args:
        t: position in [0, 1].

    Returns:
        Three weights that sum to 1.

    Source: arXiv 2505.10859, equation 1.
    """
    return (1.0 - t) ** 2, 2.0 * t * (1.0 - t), t * t


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pathway:
    """φ(t) = (1 - t)² θ_o + 2 t (1 - t) θ_c + t² θ_p: models between the original and the pre-unlearned one.

    It contains the original at t = 0, so it is personal data like the original and is never published.
    """

    original: Params
    """θ_o."""
    control: Params
    """θ_c; off the mask it is the midpoint of the ends."""
    end: Params
    """θ_p."""
    mask: frozenset[str]
    """Names of the tensors that training may have moved."""

    def at(self, t: float) -> Params:
        """Return the parameters at t; the ends are exact bit for bit.

        Raises:
            ValueError: t lies outside [0, 1].
        """
        end = exact_end(t, self.original, self.end)
        if end is not None:
            return end
        first, middle, last = bernstein(t)
        return {
            name: first * start + middle * self.control[name] + last * self.end[name]
            for name, start in self.original.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A model that is offered for publication."""

    t: float | None
    """Position on the pathway, where there is one."""
    state: State
    """Its BatchNorm statistics come from D_r only."""


class Phase(StrEnum):
    """What a run is doing."""

    PRE_UNLEARN = "pre_unlearn"
    MASK = "mask"
    CURVE = "curve"
    SELECT = "select"
    RETRAIN = "retrain"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressUpdate:
    """How far a phase is. A phase that is no training counts its steps in one epoch."""

    phase: Phase
    epoch: int
    """From 0."""
    epochs: int
    step: int
    """Finished in this epoch."""
    steps: int


class Progress(Protocol):
    """Is told how far the work is, at every step; it must return quickly."""

    def __call__(self, update: ProgressUpdate, /) -> None:
        """Take note of an update."""


def ignore_progress(update: ProgressUpdate, /) -> None:
    """Take no note."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreviousPathway:
    """The pathway that an earlier rung of the same run has found."""

    pathway: Pathway
    report: PathwayReport
    tried: tuple[float, ...]
    """Every t that was a candidate before."""
    name: ModelName = ModelName.MCU_BETA
    pre_unlearning: ModelName = ModelName.NEGGRAD_PLUS
    """Method at its end."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What finding it took, by phase."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreUnlearned:
    """θ_p as a model in its own right."""

    name: ModelName
    state: State
    """Its BatchNorm statistics come from D_r only."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What one rung produced."""

    name: ModelName
    candidate: Candidate
    references: References
    seconds: Mapping[str, float]
    """Wall time by phase, with the phases of an earlier rung that this candidate rests on."""
    pre_unlearned: PreUnlearned | None = None
    pathway: Pathway | None = None
    pathway_report: PathwayReport | None = None
    tried: tuple[float, ...] = ()
    """Every t of the pathway that was a candidate, this one included."""

    def with_candidate(self, state: State) -> "Outcome":
        """Return the outcome with the candidate as it was read back from its published bytes."""
        return replace(self, candidate=replace(self.candidate, state=state))

    def as_previous(self) -> PreviousPathway | None:
        """Return what the next rung may build on, if there is a pathway."""
        if self.pathway is None or self.pathway_report is None or self.pre_unlearned is None:
            return None
        return PreviousPathway(
            name=self.name,
            pathway=self.pathway,
            report=self.pathway_report,
            tried=self.tried,
            pre_unlearning=self.pre_unlearned.name,
            seconds=self.seconds,
        )
