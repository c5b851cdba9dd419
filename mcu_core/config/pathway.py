"""Settings of the pathway: mask, objective, curve, choice of the point."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from mcu_core.config.base import ForgetShare, Fraction, PositiveFraction, Setting, TrainConfig
from mcu_core.config.objectives import AscentConfig, ObjectiveConfig


class MaskMode(StrEnum):
    """How MCU chooses the tensors that its curve may move."""

    SEQUENTIAL = "sequential"
    """Exclude the top k_r by D_r, then keep the top k by D_f: the paper's algorithm."""
    AND = "and"
    """Equation 5 as printed: among the top k by D_f and not among the top k_r by D_r, each ranked over all tensors."""
    RANDOM = "random"
    """As many elements as `SEQUENTIAL` aims at, in tensors drawn at random: the control of figure 2."""
    FULL = "full"
    """Every tensor."""


class MaskConfig(Setting):
    """MCU's mask over whole parameter tensors (paper, section 2.3)."""

    mode: MaskMode = MaskMode.SEQUENTIAL
    keep: PositiveFraction = 0.5
    """k: share of all elements to keep, most important to D_f first."""
    exclude: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """k_r: share of all elements to leave alone, most important to D_r first."""
    retain_images: Annotated[int, Field(ge=1)] = 2048
    """Size of the seeded sample of D_r that ranks the tensors; only the ranking matters."""
    least_tensors: Annotated[int, Field(ge=1)] = 20
    """Where fewer tensors would survive, the mask is full instead, and the report says so: a curve with few tensors to
    bend can hardly leave the straight line."""


class CurveConfig(Setting):
    """Training of the quadratic Bezier curve from the original to the pre-unlearning model (section 2.2)."""

    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01, weight_decay=0.0)
    mask: MaskConfig = MaskConfig()
    objective: ObjectiveConfig = AscentConfig()
    retain_share: PositiveFraction = 0.5
    """Fixed, seeded share of D_r that the curve trains on; the paper's."""
    forget_share: ForgetShare = None

    @model_validator(mode="after")
    def _has_no_curriculum(self) -> "CurveConfig":
        if self.train.curriculum_start < 1.0:
            raise ValueError("the curve has no curriculum: train.curriculum_start must be 1")
        return self


class PointPolicy(StrEnum):
    """Which point of the pathway is offered as the candidate."""

    BALANCED = "balanced"
    """Smallest alignment gap: the paper's optimum."""
    PRIVACY_FIRST = "privacy_first"
    """Accuracy on D_f nearest to A_v among the points whose utility stays in bounds."""
    UTILITY_FIRST = "utility_first"
    """Highest accuracy on D_r among the points of the effective region."""


class Criterion(StrEnum):
    """What the balanced choice makes small."""

    ACCURACY = "accuracy"
    """The alignment gap of the accuracies: the paper's."""
    ACCURACY_AND_UTILITY = "accuracy_and_utility"
    """The alignment gap, and by how much the accuracy on D_v is below A_v: three accuracies of equal weight."""
    DISTRIBUTION = "distribution"
    """The distance of φ on D_f from φ on D_v, among points whose RA is in bounds; the gap where none is."""


class SelectionConfig(Setting):
    """How the point on the pathway is found (section 2.5). Selection reads D_r, D_f and D_v only."""

    policy: PointPolicy = PointPolicy.BALANCED
    criterion: Criterion = Criterion.ACCURACY
    window_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.75
    """Left edge of the interval in which the optimum lies; extended leftwards when the optimum sits on it."""
    points: Annotated[int, Field(ge=4, le=16)] = 4
    """Equally spaced evaluations in the window; four fix a cubic."""
    grid: Annotated[int, Field(ge=2, le=1001)] = 26
    """Candidates between them, judged on interpolated accuracies."""
    sweep: bool = True
    """Measure all of [0, 1] too: it draws the alignment path and its effective region, and lets the other policies look
    outside of the window. Without it the choice costs the window and one point: four evaluations beyond t = 1."""
    sweep_points: Annotated[int, Field(ge=4, le=200)] = 20
    """Evaluations over [0, 1] that draw the alignment path and its effective region."""
    retain_accuracy_slack: Fraction = 0.02
    """Utility is in bounds while RA stays within this of the original's train accuracy."""
    batchnorm_images: Annotated[int, Field(ge=2)] = 512
    """Images of D_r that re-estimate BatchNorm statistics at each point; 512 to 2 048 are enough."""
    retain_images: Annotated[int, Field(ge=1)] = 1024
    """Images of D_r on which RA is measured along the pathway (seeded sample): half a point of deviation at RA .98."""
