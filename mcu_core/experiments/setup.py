"""What an experiment starts from: the data, the network, the seed, and which samples are to be forgotten."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, assert_never

import torch
from pydantic import Field
from torch import Tensor

from mcu_core.config import (
    ArchitectureConfig,
    Augmentation,
    PositiveFraction,
    Precision,
    ReferenceFamilyConfig,
    RetrainConfig,
    Schedule,
    Seed,
    Setting,
    TrainConfig,
)
from mcu_core.data import subsample
from mcu_core.errors import ConfigurationError, DataError
from mcu_core.images import ImageData
from mcu_core.runtime import stream

VALIDATION_SHARE = 0.1
"""Of the official test set that is D_v; the paper's (appendix C)."""


def original_recipe(epochs: int = 40, augmentation: Augmentation = Augmentation.NONE) -> RetrainConfig:
    """Return how originals are trained: until they have memorised their data, so that there is something to forget.

    Args:
        epochs: horizon of the cosine.
        augmentation: of the images; it makes memorising them harder.
    """
    train = TrainConfig(epochs=epochs, learning_rate=0.1, schedule=Schedule.COSINE, augmentation=augmentation)
    return RetrainConfig(train=train, stop_at_train_accuracy=0.999)


class World(Setting):
    """Everything that the original of an experiment depends on."""

    data: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of the data set, for people."""
    data_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the decoded array, see `Samples.digest`."""
    architecture: ArchitectureConfig
    train_images: Annotated[int, Field(ge=10)]
    """Size of D_train, drawn from the official training split; what is left of it makes the audit's non-members."""
    seed: Seed
    """Of everything random: the draws of data, initialisation, training, unlearning, selection."""
    draw_seed: Seed | None = None
    """Of the draws of D_train and D_v where worlds of several seeds share them, and so one family of references; `None`
    takes `seed`."""
    recipe: RetrainConfig = original_recipe()
    precision: Precision = Precision.AUTO
    """Of training and of the choice of t; the audit's numbers are computed in float32."""
    evaluation_batch: Annotated[int, Field(ge=1)] = 128
    """Images a forward pass without gradient."""

    @property
    def shared(self) -> "World":
        """Return what all worlds of one D_train have in common: the one whose own seed draws it."""
        seed = self.seed if self.draw_seed is None else self.draw_seed
        return self.model_copy(update={"seed": seed, "draw_seed": None})


class RandomShare(Setting):
    """Forget a random share of D_train: the paper's random deletion."""

    kind: Literal["random_share"] = "random_share"
    share: PositiveFraction = 0.1


class RandomCount(Setting):
    """Forget so many random samples of D_train."""

    kind: Literal["random_count"] = "random_count"
    count: Annotated[int, Field(ge=1)]


class WholeClass(Setting):
    """Forget every sample of one class: the paper's class-wise deletion."""

    kind: Literal["whole_class"] = "whole_class"
    label: Annotated[int, Field(ge=0)] = 0


class HardestCount(Setting):
    """Forget the samples of D_train that models which never saw them get most wrong: membership is loudest there.

    The audit's non-members are then the hardest unseen images, of each class the share that D_f is of it.
    """

    kind: Literal["hardest_count"] = "hardest_count"
    count: Annotated[int, Field(ge=1)]
    family: ReferenceFamilyConfig
    """References whose loss says what is hard."""


Deletion = Annotated[RandomShare | RandomCount | WholeClass | HardestCount, Field(discriminator="kind")]

Losses = Callable[[Tensor], Tensor]
"""Of models that never saw them: positions int64 `[n]` in, float `[n]` out."""


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: the digest is kept
class Samples:
    """A data set with its official splits."""

    data: ImageData
    train: Tensor
    """int64 positions of the training split."""
    heldout: Tensor
    """int64 positions of the test set."""

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256, hexadecimal, of pixels, labels and official splits; all pixels are read, once."""
        hashed = hashlib.sha256()
        for tensor in (self.data.images, self.data.labels, self.train, self.heldout):
            hashed.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            hashed.update(tensor.contiguous().numpy().data)
        return hashed.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Who is who in one experiment: int64 positions, disjoint."""

    forget: Tensor
    retain: Tensor
    validation: Tensor
    """D_v."""
    test: Tensor
    """D_t, without the class where one is forgotten."""
    class_test: Tensor
    """Test images of the forgotten class; empty where no class is forgotten."""
    sealed: Tensor
    """The audit's non-members: what is left of the official training split, or the hardest of it."""


def draw_split(samples: Samples, world: World, deletion: Deletion, *, losses: Losses | None = None) -> Split:
    """Draw D_train, D_v and D_t of a world and D_f of a deletion.

    D_train depends on the world alone, so that one original serves every deletion.

    Args:
        samples: the data set.
        world: number of training images and seed.
        deletion: what is forgotten.
        losses: of every training image and every image left over, for `hardest_count`.

    Returns:
        The parts; all but `class_test` hold at least one sample.

    Raises:
        ConfigurationError: more training images than there are, or none left over for the audit.
        DataError: nothing would be forgotten, or nothing kept.
    """
    train, sealed = draw_train(samples, world)
    if isinstance(deletion, HardestCount):
        if losses is None:
            raise RuntimeError("hardest_count needs losses")
        forget = _hardest(train, deletion.count, losses)
        sealed = _as_hard(samples.data.labels, train, forget, sealed, losses)
    else:
        forget = _draw_forget(samples.data.labels, train, deletion, stream(world.seed, "forget"))
    retain = train[~torch.isin(train, forget)]
    if not len(forget) or len(retain) < 2:
        raise DataError(f"{deletion.kind} forgets {len(forget)} of {len(train)} samples: there is nothing to compare")
    validation, test = draw_validation(samples.heldout, world.shared.seed)
    of_class = torch.zeros(len(test), dtype=torch.bool)
    if isinstance(deletion, WholeClass):
        of_class = samples.data.labels[test] == deletion.label
    return Split(
        forget=forget,
        retain=retain,
        validation=validation,
        test=test[~of_class],
        class_test=test[of_class],
        sealed=sealed,
    )


def draw_validation(heldout: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return D_v, a seeded tenth of the official test set, and what is left of it for D_t; int64 positions each."""
    count = max(1, round(VALIDATION_SHARE * len(heldout)))
    validation = subsample(heldout, count, stream(seed, "validation"))
    return validation, heldout[~torch.isin(heldout, validation)]


def draw_train(samples: Samples, world: World) -> tuple[Tensor, Tensor]:
    """Return D_train and what the official training split has besides it, int64 positions each.

    Raises:
        ConfigurationError: nothing would be left besides it.
    """
    if world.train_images >= len(samples.train):
        raise ConfigurationError(
            f"{world.train_images} training images leave none of the {len(samples.train)} of {world.data} for the "
            "audit's non-members: take fewer"
        )
    train = subsample(samples.train, world.train_images, stream(world.shared.seed, "train"))
    return train, samples.train[~torch.isin(samples.train, train)]


def _as_hard(labels: Tensor, train: Tensor, forget: Tensor, sealed: Tensor, losses: Losses) -> Tensor:
    """Return the hardest unseen images of each class of D_f, the share of it that D_f is of the class in D_train."""
    chosen = []
    for label in torch.bincount(labels[forget]).nonzero().flatten().tolist():
        unseen = sealed[labels[sealed] == label]
        share = int((labels[forget] == label).sum()) / int((labels[train] == label).sum())
        chosen.append(_hardest(unseen, max(1, round(share * len(unseen))), losses))
    return torch.cat(chosen).sort().values


def _hardest(rows: Tensor, count: int, losses: Losses) -> Tensor:
    order = losses(rows).argsort(descending=True, stable=True)
    return rows[order[:count]].sort().values


def _draw_forget(
    labels: Tensor, train: Tensor, deletion: RandomShare | RandomCount | WholeClass, rng: torch.Generator
) -> Tensor:
    match deletion:
        case RandomShare():
            return subsample(train, max(1, round(deletion.share * len(train))), rng)
        case RandomCount():
            return subsample(train, deletion.count, rng)
        case WholeClass():
            return train[labels[train] == deletion.label]
        case _:
            assert_never(deletion)
