"""What every setting is made of, and the settings of networks and of one training."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
ForgetShare = Annotated[float, Field(gt=0.0, lt=1.0)] | None
"""Share of forget rows in a mixed batch; `None` is the natural ratio."""
MOST_EPOCHS = 1000
"""Of one training."""
Ceiling = Annotated[float, Field(gt=0.0, le=1000.0)] | None
"""Nats of cross-entropy beyond which a sample of D_f is forgotten enough and no longer pushed; `None` never stops, as
the paper has it. Where a class goes entirely nothing else holds the ascent: it ran away in each of three seeds."""
Seed = Annotated[int, Field(ge=0, lt=2**53)]


class Setting(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Schedule(StrEnum):
    """How the learning rate moves over the whole training."""

    CONSTANT = "constant"
    COSINE = "cosine"
    ONE_CYCLE = "one_cycle"


class Optimiser(StrEnum):
    """Rule of the update."""

    SGD = "sgd"
    """With momentum and L2 penalty: the paper's."""
    ADAMW = "adamw"
    """Loshchilov & Hutter, arXiv 1711.05101; β₁ is `momentum`, β₂ .999, the weight decay is decoupled."""
    SOPHIA_G = "sophia_g"
    """Second order, diagonal Gauss-Newton-Bartlett estimate: Liu et al., arXiv 2305.14342."""


class Augmentation(StrEnum):
    """What training does to an image before it is normalised."""

    NONE = "none"
    CROP_FLIP = "crop_flip"
    """Pad by an eighth of the size with zeros, crop at random, flip horizontally with probability ½: CIFAR's."""
    RESIZED_CROP_FLIP = "resized_crop_flip"
    """Crop 8 % to 100 % of the area at random, resize, flip horizontally with probability ½: ImageNet's."""


class Precision(StrEnum):
    """Arithmetic of the forward pass; weights, statistics and losses stay float32."""

    AUTO = "auto"
    """bfloat16 where the processor computes in it, else float32."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class ArchitectureConfig(Setting):
    """Which network the weights belong to and how its input is prepared."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_:.-]{1,64}$")]
    """`preresnet20` and the like, or `torchvision:resnet18` for any torchvision classifier."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    """Width of the output."""
    channels: Literal[1, 3] = 3
    """1 for grey images, 3 for RGB."""
    image_size: Annotated[int, Field(ge=4, le=1024)]
    """Height and width in pixels; samples of another size are resized (bilinear, antialiased)."""
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to [0, 1]."""
    std: tuple[Annotated[float, Field(gt=0.0)], ...]
    """Per channel, of pixels scaled to [0, 1]."""

    @model_validator(mode="after")
    def _one_statistic_per_channel(self) -> "ArchitectureConfig":
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean and std need {self.channels} values, got {len(self.mean)} and {len(self.std)}")
        return self


class TrainConfig(Setting):
    """One use of the optimisation loop."""

    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
    learning_rate: Annotated[float, Field(gt=0.0, le=100.0)]
    """Peak of the schedule."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """The paper's."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-4
    """L2 penalty; the paper's for the methods, 0 for the curve."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 128
    """Images a step; the paper's."""
    schedule: Schedule = Schedule.CONSTANT
    optimiser: Optimiser = Optimiser.SGD
    augmentation: Augmentation = Augmentation.NONE
    curriculum_start: PositiveFraction = 1.0
    """Share of the samples, those that the original finds easiest, that the first epoch draws from; it grows linearly
    to all in the last. 1 is no curriculum. The paper's six methods and Align know one; other trainings refuse it."""
