"""Settings of the unlearning methods, one class each. Defaults are the paper's for CIFAR-10 (appendix D)."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mcu_core.config.base import ForgetShare, Fraction, PositiveFraction, Seed, Setting, TrainConfig
from mcu_core.config.objectives import BoundedObjectiveConfig, ReferenceConfig


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
    """End after the first epoch whose accuracy on D_f is not above this; `None` takes the original's on D_v."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=1e-4)
    """The paper's rate of .01 destroys the model within an epoch and cannot be what made its table."""


class NegGradPlusConfig(Setting):
    """NegGrad+: descend on D_r and ascend on D_f in one mixed batch, L = CE_r - beta * CE_f.

    SCRUB's form, alpha * CE_r - (1 - alpha) * CE_f, is accepted as `alpha` in place of `beta` and converted: beta is
    (1 - alpha) / alpha, and the learning rate is multiplied by alpha.
    """

    kind: Literal["neggrad_plus"] = "neggrad_plus"
    beta: Annotated[float, Field(ge=0.0, le=10.0)] = 0.15
    """Weight of the ascent."""
    train: TrainConfig = TrainConfig(epochs=5, learning_rate=0.01)

    @model_validator(mode="before")
    @classmethod
    def _convert_alpha(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "alpha" not in values:
            return values
        alpha = float(values["alpha"])
        if "beta" in values or not 0.0 < alpha <= 1.0:
            raise ValueError("give either beta, or alpha in (0, 1]")
        train = TrainConfig.model_validate(values.get("train", TrainConfig(epochs=5, learning_rate=0.01)))
        scaled = train.model_copy(update={"learning_rate": train.learning_rate * alpha})
        rest = {name: value for name, value in values.items() if name != "alpha"}
        return {**rest, "beta": (1.0 - alpha) / alpha, "train": scaled}


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


MethodConfig = Annotated[
    RetrainConfig
    | FinetuneConfig
    | RandomLabelConfig
    | GradientAscentConfig
    | NegGradPlusConfig
    | SalUnConfig
    | NegTaskVectorConfig
    | AlignConfig,
    Field(discriminator="kind"),
]
"""Every unlearning method that ends in one model."""
