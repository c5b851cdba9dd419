"""Settings of the unlearning methods, one class each. Defaults are the paper's for CIFAR-10 (appendix D)."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mcu_core.config.base import (
    MOST_EPOCHS,
    Ceiling,
    ForgetShare,
    Fraction,
    PositiveFraction,
    Seed,
    Setting,
    TrainConfig,
)
from mcu_core.config.objectives import BoundedObjectiveConfig, ReferenceConfig

MOST_BETA = 10.0
LEAST_ALPHA = 1.0 / (1.0 + MOST_BETA)


class RetrainConfig(Setting):
    """RT: train from scratch on D_r as the original was trained on D_train."""

    kind: Literal["retrain"] = "retrain"
    train: TrainConfig
    stop_at_train_accuracy: PositiveFraction | None = None
    """End after the first epoch whose running train accuracy reaches this; `None` runs all epochs."""


class ReferenceFamilyConfig(Setting):
    """Models of one training set, each of which never sees one fold of it."""

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    """More folds make each member more like a model of all data, and the family dearer: one training a fold."""
    recipe: RetrainConfig
    """The original's."""
    seed: Seed
    """Deals the folds and trains the members. The family that teaches and the one that audits differ in it."""


class FinetuneConfig(Setting):
    """FT: train on with D_r alone and let the original forget by itself."""

    kind: Literal["finetune"] = "finetune"
    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01)


class WrongLabels(StrEnum):
    """What RandomLabel draws the labels of D_f from, uniformly and anew each epoch."""

    OTHERS = "others"
    """Every class but the sample's own."""
    ALL = "all"
    """Every class, the sample's own included."""


class RandomLabelConfig(Setting):
    """RL: train on D_r together with D_f under random labels."""

    kind: Literal["random_label"] = "random_label"
    labels: WrongLabels = WrongLabels.OTHERS
    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01)


class GradientAscentConfig(Setting):
    """GA: ascend on D_f until its accuracy has fallen far enough."""

    kind: Literal["gradient_ascent"] = "gradient_ascent"
    stop_at_forget_accuracy: Fraction | None = None
    """End after the first epoch whose accuracy on D_f is not above this; `None` takes what a model without it would
    have: the original's on D_v, 0 for a class that goes entirely."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=1e-4)
    """The paper's rate of .01 destroys the model within an epoch and cannot be what made its table."""


class NegGradPlusConfig(Setting):
    """NegGrad+: descend on D_r and ascend on D_f in one mixed batch, L = CE_r - beta * CE_f.

    SCRUB's form, alpha * CE_r - (1 - alpha) * CE_f, is accepted as `alpha` in place of `beta` and converted: beta is
    (1 - alpha) / alpha, the learning rate is multiplied by alpha and the weight decay divided by it: the same steps.
    """

    kind: Literal["neggrad_plus"] = "neggrad_plus"
    beta: Annotated[float, Field(ge=0.0, le=MOST_BETA)] = 0.15
    """Weight of the ascent."""
    ceiling: Ceiling = None
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=0.01)

    @model_validator(mode="before")
    @classmethod
    def _convert_alpha(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "alpha" not in values:
            return values
        alpha = values["alpha"]
        is_number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if "beta" in values or not is_number or not LEAST_ALPHA <= alpha <= 1.0:
            raise ValueError(f"give either beta, or as alpha a number from {LEAST_ALPHA:.4f} to 1")
        train = TrainConfig.model_validate(values.get("train", TrainConfig(epochs=5, learning_rate=0.01)))
        scaled = {"learning_rate": train.learning_rate * alpha, "weight_decay": train.weight_decay / alpha}
        rest = {name: value for name, value in values.items() if name != "alpha"}
        return {**rest, "beta": min((1.0 - alpha) / alpha, MOST_BETA), "train": {**train.model_dump(), **scaled}}


class SalUnConfig(Setting):
    """SalUn: RandomLabel on the elements that matter most to D_f; the others stay exactly the original's."""

    kind: Literal["salun"] = "salun"
    keep: PositiveFraction = 0.5
    """Share of all elements that may move, largest gradient of CE(D_f) first."""
    labels: WrongLabels = WrongLabels.OTHERS
    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01)


class NegTaskVectorConfig(Setting):
    """NegTV: fine-tune on D_f, then go the other way, θ_o - scale (θ_ft - θ_o)."""

    kind: Literal["neg_task_vector"] = "neg_task_vector"
    scale: Annotated[float, Field(gt=0.0, le=10.0)] = 0.9
    """α: the paper's .9 for random deletion and for ViT, .2 for class-wise deletion, .1 on Tiny-ImageNet."""
    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01)


class AlignConfig(Setting):
    """A bounded objective of the pathway minimised from the original, without a curve."""

    kind: Literal["align"] = "align"
    objective: BoundedObjectiveConfig = ReferenceConfig()
    forget_share: ForgetShare = None
    retain_share: PositiveFraction = 1.0
    """Fixed, seeded share of D_r that is trained on."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=0.01)


class ScrubConfig(Setting):
    """SCRUB: disobey the original on D_f while obeying it on D_r.

    Its paper tunes all of this by data set; the defaults here are where to start.
    """

    kind: Literal["scrub"] = "scrub"
    alpha: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    """Weight of the divergence from the original on D_r."""
    gamma: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    """Weight of the cross-entropy on D_r."""
    temperature: Annotated[float, Field(ge=0.1, le=100.0)] = 1.0
    """Softens both distributions of every divergence; the gradient is scaled back by its square."""
    ascent_epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)] = 3
    """Epochs that begin with an ascent over D_f; the epochs after them read D_r alone."""
    forget_batch_size: Annotated[int, Field(ge=1, le=65_536)] = 256
    """Images a step of the ascent. Larger is milder: fewer steps of the same length."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=0.001)
    """Its schedule runs over the epochs with an ascent and over those without one separately."""

    @model_validator(mode="after")
    def _no_more_ascents_than_epochs(self) -> "ScrubConfig":
        if self.ascent_epochs > self.train.epochs:
            raise ValueError(f"ascent_epochs {self.ascent_epochs} exceed the {self.train.epochs} epochs of train")
        return self


class SsdConfig(Setting):
    """SSD, selective synaptic dampening: shrink the elements that matter to D_f above all; nothing is trained."""

    kind: Literal["ssd"] = "ssd"
    alpha: Annotated[float, Field(gt=0.0, le=1e6)] = 5.0
    """An element is dampened where its importance to D_f exceeds this times that to D_f ∪ D_r.

    The ratio never reaches n / n_f, which is 10 when a tenth of the samples goes: the paper's 10 is for smaller D_f.
    """
    strength: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    """λ: a dampened element is multiplied by λ times the inverse of the ratio, at most by 1; the paper's."""
    retain_images: Annotated[int, Field(ge=1)] | None = None
    """Images of D_r (seeded sample) whose importances are measured; `None` takes all, as the paper does.

    Squared gradients of a model that fits its data are heavy-tailed: a small sample misses the few that decide.
    """


class L1SparseConfig(Setting):
    """L1-sparse: finetune on D_r under a pull of all weights towards 0, so that what D_r does not need goes."""

    kind: Literal["l1_sparse"] = "l1_sparse"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-4
    """γ of the penalty γ‖θ‖₁; it falls linearly, from twice this in the first epoch to 2γ / epochs in the last."""
    train: TrainConfig = TrainConfig(epochs=10, learning_rate=0.01)


class BadTeacherConfig(Setting):
    """BadTeacher: learn from the original on D_r and from a network that knows nothing on D_f."""

    kind: Literal["bad_teacher"] = "bad_teacher"
    temperature: Annotated[float, Field(ge=0.1, le=100.0)] = 1.0
    """Softens student and teachers; the gradient is scaled back by its square."""
    retain_share: PositiveFraction = 0.3
    """Fixed, seeded share of D_r that the competent teacher is asked about; the paper's."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=0.01)


MethodConfig = Annotated[
    RetrainConfig
    | FinetuneConfig
    | RandomLabelConfig
    | GradientAscentConfig
    | NegGradPlusConfig
    | SalUnConfig
    | NegTaskVectorConfig
    | AlignConfig
    | ScrubConfig
    | SsdConfig
    | L1SparseConfig
    | BadTeacherConfig,
    Field(discriminator="kind"),
]
"""Every unlearning method that ends in one model."""
