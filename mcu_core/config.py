"""Every algorithm setting: what is computed, never where it runs.

All of it is part of the run specification, so it is hashed and reproducible. Rates and accuracies are fractions in
[0, 1]. The paper is Shi & Wang, arXiv 2505.10859.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]


class Setting(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Schedule(StrEnum):
    """How the learning rate moves over the whole training."""

    CONSTANT = "constant"
    COSINE = "cosine"
    ONE_CYCLE = "one_cycle"


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
    """One use of the optimisation loop: SGD with momentum."""

    epochs: Annotated[int, Field(ge=1, le=1000)]
    learning_rate: Annotated[float, Field(gt=0.0, le=100.0)]
    """Peak of the schedule."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """The paper's."""
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-4
    """L2 penalty; the paper's for the methods, 0 for the curve."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 128
    """Images a step; the paper's."""
    schedule: Schedule = Schedule.CONSTANT


class RetrainConfig(Setting):
    """RT: train from scratch on D_r as the original was trained on D_train."""

    kind: Literal["retrain"] = "retrain"
    train: TrainConfig
    stop_at_train_accuracy: PositiveFraction | None = None
    """End after the first epoch whose running train accuracy reaches this; `None` runs all epochs."""


class NegGradPlusConfig(Setting):
    """NegGrad+: descend on D_r and ascend on D_f in one mixed batch, L = CE_r - beta * CE_f."""

    kind: Literal["neggrad_plus"] = "neggrad_plus"
    beta: Annotated[float, Field(ge=0.0, le=10.0)] = 0.15
    """Weight of the ascent. SCRUB's alpha is beta = (1 - alpha) / alpha."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=0.01)


MethodConfig = Annotated[RetrainConfig | NegGradPlusConfig, Field(discriminator="kind")]


class MaskMode(StrEnum):
    """How MCU chooses the tensors that its curve may move."""

    SEQUENTIAL = "sequential"
    """Exclude the top k_r by D_r, then keep the top k by D_f: the paper's algorithm."""
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


class FixedBetaConfig(Setting):
    """One unlearning penalty for the whole curve: the paper's MCU."""

    kind: Literal["fixed"] = "fixed"
    value: Annotated[float, Field(ge=0.0, le=10.0)] = 0.2


class BetaRule(StrEnum):
    """Which reading of the paper's second case decides between mild and strong forgetting."""

    PRINTED = "printed"
    """(A_f - A_v)/A_v < (A_r - A_train)/A_train, as printed; it practically never fires."""
    INTENDED = "intended"
    """(A_f - A_v)/A_v < (A_train - A_r)/A_train, as the text around it explains."""


class AdaptiveBetaConfig(Setting):
    """Unlearning penalty chosen anew at every batch: the paper's MCU_beta (section 2.4)."""

    kind: Literal["adaptive"] = "adaptive"
    rule: BetaRule = BetaRule.PRINTED
    mild: Annotated[float, Field(ge=0.0, le=10.0)] = 0.1
    strong: Annotated[float, Field(ge=0.0, le=10.0)] = 0.5
    smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the running accuracies kept from batch to batch; 0 uses each batch alone, as the paper does."""


BetaConfig = Annotated[FixedBetaConfig | AdaptiveBetaConfig, Field(discriminator="kind")]


class CurveConfig(Setting):
    """Training of the quadratic Bezier curve from the original to the pre-unlearning model (section 2.2)."""

    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01, weight_decay=0.0)
    mask: MaskConfig = MaskConfig()
    beta: BetaConfig = AdaptiveBetaConfig()
    retain_share: PositiveFraction = 0.5
    """Fixed, seeded share of D_r that the curve trains on; the paper's."""


class PointPolicy(StrEnum):
    """Which point of the pathway is offered as the candidate."""

    BALANCED = "balanced"
    """Smallest alignment gap: the paper's optimum."""
    PRIVACY_FIRST = "privacy_first"
    """Lowest accuracy on D_f among the points whose utility stays in bounds."""
    UTILITY_FIRST = "utility_first"
    """Highest accuracy on D_r among the points of the effective region."""


class SelectionConfig(Setting):
    """How the point on the pathway is found (section 2.5). Selection reads D_r, D_f and D_v only."""

    policy: PointPolicy = PointPolicy.BALANCED
    window_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.75
    """Left edge of the interval in which the optimum lies; extended leftwards when the optimum sits on it."""
    points: Annotated[int, Field(ge=4, le=16)] = 4
    """Equally spaced evaluations in the window; four fix a cubic."""
    grid: Annotated[int, Field(ge=2, le=1001)] = 26
    """Candidates between them, judged on interpolated accuracies."""
    sweep_points: Annotated[int, Field(ge=4, le=200)] = 20
    """Evaluations over [0, 1] that draw the alignment path and its effective region."""
    retain_accuracy_slack: Fraction = 0.02
    """Utility is in bounds while RA stays within this of the original's train accuracy."""
    batchnorm_images: Annotated[int, Field(ge=2)] = 512
    """Images of D_r that re-estimate BatchNorm statistics at each point; 512 to 2 048 are enough."""
    retain_images: Annotated[int, Field(ge=1)] = 1024
    """Images of D_r on which RA is measured along the pathway (seeded sample): half a point of deviation at RA .98."""


class McuRung(Setting):
    """First rung: pre-unlearning method, mask, pathway, selection."""

    kind: Literal["mcu"] = "mcu"
    pre_unlearning: MethodConfig = NegGradPlusConfig()
    curve: CurveConfig = CurveConfig()
    selection: SelectionConfig = SelectionConfig()


class AnotherPointRung(Setting):
    """Another point of the pathway that the McuRung below it has found; nothing is trained."""

    kind: Literal["another_point"] = "another_point"
    selection: SelectionConfig = SelectionConfig(policy=PointPolicy.PRIVACY_FIRST)


class RetrainRung(Setting):
    """Last rung: exact retraining on D_r with the recipe of the original."""

    kind: Literal["retrain"] = "retrain"
    recipe: RetrainConfig


Rung = Annotated[McuRung | AnotherPointRung | RetrainRung, Field(discriminator="kind")]


class HeldoutConfig(Setting):
    """Shares into which the manifest's held-out samples are split by keyed hash; they sum to at most 1."""

    validation: PositiveFraction = 0.1
    """D_v: read by beta and by the choice of t."""
    test: PositiveFraction = 0.6
    """D_t: read by the utility tests only."""
    sealed: PositiveFraction = 0.3
    """C: the audit's non-members. Nothing before the audit reads them."""

    @model_validator(mode="after")
    def _at_most_everything(self) -> "HeldoutConfig":
        if self.validation + self.test + self.sealed > 1.0 + 1e-9:
            raise ValueError("validation + test + sealed must not exceed 1")
        return self


class AuditConfig(Setting):
    """What the audit measures with."""

    retain_images: Annotated[int, Field(ge=1)] = 2048
    """Images of D_r (seeded sample) for RA and for the members of the SVC attack."""
    svc_samples: Annotated[int, Field(ge=10, le=10_000)] = 2000
    """Cap on members and on non-members of SalUn's SVC attack, each."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Level of the intervals in the report; the gate's own level is in its policy."""


class UnlearningConfig(Setting):
    """All of one run: the ladder of attempts and how each is measured."""

    ladder: Annotated[tuple[Rung, ...], Field(min_length=1)]
    heldout: HeldoutConfig = HeldoutConfig()
    audit: AuditConfig = AuditConfig()
    precision: Precision = Precision.AUTO
    evaluation_batch: Annotated[int, Field(ge=1)] = 128
    """Images a forward pass without gradient; measured 2.3 times faster than 512 in float32 on a CPU."""

    @model_validator(mode="after")
    def _another_point_needs_a_pathway(self) -> "UnlearningConfig":
        seen_pathway = False
        for rung in self.ladder:
            if isinstance(rung, AnotherPointRung) and not seen_pathway:
                raise ValueError("an `another_point` rung needs an `mcu` rung below it")
            seen_pathway = seen_pathway or isinstance(rung, McuRung)
        return self


def default_ladder(recipe: RetrainConfig | None) -> tuple[Rung, ...]:
    """Return the first ladder: MCU_beta, another point of its region, then exact retraining where a recipe is known."""
    first: tuple[Rung, ...] = (McuRung(), AnotherPointRung())
    return first if recipe is None else (*first, RetrainRung(recipe=recipe))
