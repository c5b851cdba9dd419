"""Settings of what the pathway is trained for: ascent with its penalty, or a bounded distance to unseen data."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mcu_core.config.base import Ceiling, Fraction, Setting


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


class AscentConfig(Setting):
    """The paper's: L = CE(D_r) - beta * CE(D_f)."""

    kind: Literal["ascent"] = "ascent"
    beta: BetaConfig = AdaptiveBetaConfig()
    ceiling: Ceiling = None


class QuantileConfig(Setting):
    """L = CE(D_r) + weight * smooth-L1 between quantiles of φ on D_f and of the original's φ on D_v.

    Needs no reference model, is bounded, and pulls from both sides.
    """

    kind: Literal["quantile"] = "quantile"
    weight: Annotated[float, Field(gt=0.0, le=100.0)] = 0.3
    """λ."""
    by_class: bool = True
    """Compare each class with its own quantiles where D_v has enough samples of it."""


class ReferenceConfig(Setting):
    """L = CE(D_r) + weight * w KL(p_ref || p) on D_f, where the reference never saw the sample; w is 1 or `pull_up`."""

    kind: Literal["reference"] = "reference"
    weight: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    """λ."""
    temperature: Annotated[float, Field(ge=0.1, le=100.0)] = 1.0
    """Both distributions are softened by it; the gradient is scaled back by its square."""
    pull_up: Fraction = 0.1
    """Weight of the samples whose φ is below the reference's already. 1 is plain distillation, which leaves D_f easier
    to tell from unseen data: AUC of calibrated φ .54 in place of .52 (Fashion-MNIST, random 10 %, three epochs)."""


BoundedObjectiveConfig = Annotated[QuantileConfig | ReferenceConfig, Field(discriminator="kind")]
ObjectiveConfig = Annotated[AscentConfig | QuantileConfig | ReferenceConfig, Field(discriminator="kind")]
