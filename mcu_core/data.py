"""Samples into batches: normalised on the device, drawn with a seed, always of constant shape."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.augmentation import augment
from mcu_core.config import ArchitectureConfig, Augmentation, WrongLabels
from mcu_core.errors import ConfigurationError, DataError
from mcu_core.images import Images
from mcu_core.parallel import Part, own_part
from mcu_core.types import Batch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchReader:
    """Turns positions into normalised images: (x / 255 - mean) / std per channel, resized where needed.

    This is the test transform. Training reads through a `View`, which may augment first.
    """

    data: Images
    architecture: ArchitectureConfig
    device: torch.device

    def read(self, rows: Tensor, *, forget_count: int = 0, view: "View | None" = None) -> Batch:
        """Return the samples at `rows`, int64 `[B]`, in that order; a view may augment them and take this rank's part.

        Raises:
            DataError: the samples have another number of channels than the architecture takes.
            SealedReadError: a sample belongs to the audit alone.
        """
        channels = self.data.shape[0]
        if channels != self.architecture.channels:
            raise DataError(f"samples have {channels} channels, the architecture takes {self.architecture.channels}")
        size = self.architecture.image_size
        if view is not None:
            rows = rows[view.part.rows]
        pixels = self.data.pixels(rows).to(self.device)
        if view is not None:
            pixels = augment(pixels, view.augmentation, size, view.rng, part=view.part)
        images = pixels.float()
        if images.shape[2:] != (size, size):
            images = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
        std = torch.tensor(self.architecture.std, device=self.device).view(1, -1, 1, 1)
        mean = torch.tensor(self.architecture.mean, device=self.device).view(1, -1, 1, 1)
        images = images.div_(255.0).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)
        return Batch(
            images=images,
            labels=self.data.labels[rows].to(self.device),
            forget_count=forget_count,
            rank_weight=1.0 if view is None else view.part.weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """How training sees the images that it reads."""

    augmentation: Augmentation
    rng: torch.Generator
    """Draws every image's own view."""
    part: Part
    """Of each whole batch, what this rank reads."""


class Batches(Protocol):
    """What one epoch of training reads."""

    @property
    def steps(self) -> int:
        """Return the number of batches an epoch."""

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield one epoch in a new random order, of augmented images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlainBatches:
    """Every row at least once an epoch, in batches of one constant size.

    ceil(N / size) batches share the N rows evenly, filled up with rows of a second permutation: no batch is much
    smaller than the others, which BatchNorm would notice.
    """

    reader: BatchReader
    rows: Tensor
    """int64 `[N]`."""
    size: int
    """Largest number of rows in a batch."""

    @property
    def steps(self) -> int:
        """Return ceil(N / size)."""
        return math.ceil(len(self.rows) / self.size)

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield one epoch."""
        view = View(augmentation=augmentation, rng=rng, part=own_part(math.ceil(len(self.rows) / self.steps)))
        for rows in _deal(self.rows, self.steps, rng):
            yield self.reader.read(rows, view=view)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixedBatches:
    """D_f and D_r in every batch, in numbers that do not change from batch to batch; the forget rows come first.

    The numbers follow the natural ratio, rounded up, with at least one of each: a batch without a forget row has no
    forget loss, and a part with a single row is in every batch. Where D_f has fewer rows than there are batches, its
    loss weighs n_f / steps, the share of batches that would have had a row: with full weight a single sample ascends
    as hard as hundreds and takes the model with it. A batch holds at most `size + 1` rows, or two.

    With a share of its own D_f is read more often than D_r, in whole passes of D_r: more steps towards a bounded
    objective for the same pass, at the cost of the rows that it adds.
    """

    reader: BatchReader
    forget: Tensor
    """int64 `[n_f]`."""
    retain: Tensor
    """int64 `[n_r]`."""
    size: int
    forget_share: float | None = None
    """Share of forget rows in a batch; `None` is the natural ratio."""

    @property
    def steps(self) -> int:
        """Return ceil((n_f + n_r) / size), or the batches that one pass of D_r fills."""
        if self.forget_share is None:
            return math.ceil((len(self.forget) + len(self.retain)) / self.size)
        return math.ceil(len(self.retain) / max(1, self.size - self._forget_rows()))

    def _forget_rows(self) -> int:
        """Return the forget rows of a batch whose share is given: never more than D_f has."""
        return min(max(1, round((self.forget_share or 0.0) * self.size)), len(self.forget))

    @property
    def counts(self) -> tuple[int, int]:
        """Return the forget rows and the retain rows of each batch, of all ranks together."""
        natural = math.ceil(len(self.forget) / self.steps)
        forget = natural if self.forget_share is None else self._forget_rows()
        return forget, math.ceil(len(self.retain) / self.steps)

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield one epoch.

        Raises:
            ConfigurationError: a batch has fewer retain rows than there are ranks.
        """
        steps, (forget_each, retain_each) = self.steps, self.counts
        first, second = own_part(forget_each), own_part(retain_each)
        if not second.weight:
            raise ConfigurationError(f"train.batch_size is too small: a batch has {retain_each} rows for all ranks")
        part = Part(
            rows=torch.cat([first.rows, forget_each + second.rows]),
            whole=forget_each + retain_each,
            weight=second.weight,
        )
        view = View(augmentation=augmentation, rng=rng, part=part)
        weight = min(1.0, len(self.forget) / steps) * first.weight / second.weight
        forget = _deal(torch.arange(len(self.forget)), steps, rng, each=forget_each)
        retain = _deal(self.retain, steps, rng)
        for places, others in zip(forget, retain, strict=True):
            rows = torch.cat([self.forget[places], others])
            yield replace(
                self.reader.read(rows, forget_count=len(first.rows), view=view),
                forget_weight=weight,
                forget_indices=places[first.rows].to(self.reader.device),
                forget_rank_weight=first.weight,
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RelabelledBatches:
    """D_f under random labels, shuffled together with D_r; the labels are drawn anew each epoch."""

    reader: BatchReader
    forget: Tensor
    """int64 `[n_f]`."""
    retain: Tensor
    """int64 `[n_r]`."""
    size: int
    labels: WrongLabels

    @property
    def steps(self) -> int:
        """Return ceil((n_f + n_r) / size)."""
        return math.ceil((len(self.forget) + len(self.retain)) / self.size)

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield one epoch."""
        rows = torch.cat([self.forget, self.retain])
        labels = self.reader.data.labels[rows]
        own, classes = labels[: len(self.forget)], self.reader.architecture.classes
        labels[: len(self.forget)] = random_labels(own, classes, self.labels, rng)
        view = View(augmentation=augmentation, rng=rng, part=own_part(math.ceil(len(rows) / self.steps)))
        for chosen in _deal(torch.arange(len(rows)), self.steps, rng):
            batch = self.reader.read(rows[chosen], view=view)
            yield replace(batch, labels=labels[chosen[view.part.rows]].to(self.reader.device))


def random_labels(own: Tensor, classes: int, among: WrongLabels, rng: torch.Generator) -> Tensor:
    """Draw a label for each sample, uniform over all classes or over all but its own.

    Args:
        own: int64 `[N]`, in `[0, classes)`.
        classes: K, at least 2.
        among: what to draw from.
        rng: of the draw.

    Returns:
        int64 `[N]`.
    """
    match among:
        case WrongLabels.ALL:
            return torch.randint(0, classes, own.shape, generator=rng)
        case WrongLabels.OTHERS:
            return (own + torch.randint(1, classes, own.shape, generator=rng)) % classes
        case _:
            assert_never(among)


def _deal(rows: Tensor, hands: int, rng: torch.Generator, *, each: int | None = None) -> tuple[Tensor, ...]:
    """Return `hands` equal shares of shuffled rows, ceil(n / hands) each; permutations follow each other as needed."""
    each = each or math.ceil(len(rows) / hands)
    permutations = [torch.randperm(len(rows), generator=rng) for _ in range(math.ceil(hands * each / len(rows)))]
    return rows[torch.cat(permutations)[: hands * each]].view(hands, each).unbind()


def subsample(rows: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return at most `count` of the rows, drawn without replacement, in their original order."""
    if count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=rng)[:count].sort().values]


def match_classes(labels: Tensor, rows: Tensor, wanted_labels: Tensor, rng: torch.Generator) -> Tensor:
    """Draw as many of `rows` as have given class proportions.

    With n_c rows and a share s_c of class c, floor(s_c · min_c(n_c / s_c)) rows of class c, at least one.

    Args:
        labels: int64 `[N]`, of all samples.
        rows: int64 `[n]`, to draw from.
        wanted_labels: int64 `[m]`, whose proportions to match; not empty.
        rng: of the draw.

    Returns:
        int64 `[k]`, drawn without replacement, ascending by class and then as in `rows`.

    Raises:
        DataError: a class of `wanted_labels` has no row at all.
    """
    counts = torch.bincount(wanted_labels)
    wanted = {int(label): int(counts[label]) for label in counts.nonzero()}
    available = {label: rows[labels[rows] == label] for label in wanted}
    missing = sum(count for label, count in wanted.items() if not len(available[label]))
    if missing:
        raise DataError(
            f"{missing} of {len(wanted_labels)} samples are of classes without any held-out sample to compare with"
        )
    # In integers, so that the scarcest class is used up entirely.
    scarcest = min(wanted, key=lambda label: len(available[label]) / wanted[label])
    drawn = [
        subsample(available[label], max(1, count * len(available[scarcest]) // wanted[scarcest]), rng)
        for label, count in wanted.items()
    ]
    return torch.cat(drawn)
