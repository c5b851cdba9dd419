"""Settings of one run: the ladder of attempts and how each is measured."""

from typing import Annotated, Literal, assert_never

from pydantic import Field, model_validator

from mcu_core.config.base import PositiveFraction, Precision, Schedule, Setting, TrainConfig
from mcu_core.config.methods import AlignConfig, MethodConfig, NegGradPlusConfig, RetrainConfig
from mcu_core.config.objectives import AdaptiveBetaConfig, AscentConfig, ReferenceConfig
from mcu_core.config.pathway import Criterion, CurveConfig, MaskConfig, MaskMode, PointPolicy, SelectionConfig


class GivenConfig(Setting):
    """θ_p is a model that the user brings, made by whatever method."""

    kind: Literal["given"] = "given"
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its state as `mcu_core.checkpoint` writes it."""


PreUnlearningConfig = Annotated[MethodConfig | GivenConfig, Field(discriminator="kind")]


class McuRung(Setting):
    """First rung: pre-unlearning method, mask, pathway, selection."""

    kind: Literal["mcu"] = "mcu"
    pre_unlearning: PreUnlearningConfig = NegGradPlusConfig()
    curve: CurveConfig = CurveConfig()
    selection: SelectionConfig = SelectionConfig()


class MethodRung(Setting):
    """A method as it is, without a pathway."""

    kind: Literal["method"] = "method"
    method: MethodConfig


class AnotherPointRung(Setting):
    """Another point of the pathway that the McuRung below it has found; nothing is trained.

    Where that rung measured no more than it needed for its own choice, the pathway is measured along all of t here.
    """

    kind: Literal["another_point"] = "another_point"
    selection: SelectionConfig = SelectionConfig(policy=PointPolicy.PRIVACY_FIRST)


class RetrainRung(Setting):
    """Last rung: exact retraining on D_r with the recipe of the original."""

    kind: Literal["retrain"] = "retrain"
    recipe: RetrainConfig


Rung = Annotated[McuRung | MethodRung | AnotherPointRung | RetrainRung, Field(discriminator="kind")]


def needs_teacher(rung: Rung) -> bool:
    """Return whether a rung is trained against what models that never saw D_f answer to it."""
    methods: tuple[Setting, ...]
    match rung:
        case McuRung():
            methods = (rung.pre_unlearning, rung.curve)
        case MethodRung():
            methods = (rung.method,)
        case AnotherPointRung() | RetrainRung():
            methods = ()
        case _:
            assert_never(rung)
    objectives = [method.objective for method in methods if isinstance(method, AlignConfig | CurveConfig)]
    return any(isinstance(objective, ReferenceConfig) for objective in objectives)


class HeldoutConfig(Setting):
    """Shares into which the manifest's held-out samples are split by keyed hash; they sum to at most 1."""

    validation: PositiveFraction = 0.1
    """D_v: read by beta and by the choice of t."""
    test: PositiveFraction = 0.4
    """D_t: read by the utility tests only."""
    calibration: PositiveFraction = 0.1
    """C_cal: non-members that conformal p-values are computed against. Nothing before the audit can read them."""
    evaluation: PositiveFraction = 0.4
    """C_eval: non-members that D_f is compared with. Nothing before the audit can read them; as many as D_t, since the
    audit's power rests on them as that of the utility tests on D_t."""

    @model_validator(mode="after")
    def _at_most_everything(self) -> "HeldoutConfig":
        if self.validation + self.test + self.calibration + self.evaluation > 1.0 + 1e-9:
            raise ValueError("validation + test + calibration + evaluation must not exceed 1")
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
    compile: bool = False
    """Compile forward and backward of the trained networks with torch.compile: minutes at the first step of each
    training, and a C++ compiler on the machine, for a faster step afterwards. The bits differ from those without."""

    @model_validator(mode="after")
    def _another_point_needs_a_pathway(self) -> "UnlearningConfig":
        seen_pathway = False
        for rung in self.ladder:
            if isinstance(rung, AnotherPointRung) and not seen_pathway:
                raise ValueError("an `another_point` rung needs an `mcu` rung below it")
            seen_pathway = seen_pathway or isinstance(rung, McuRung)
        return self


CEILING = 10.0
"""Nats of cross-entropy beyond which the recommended ascents push a sample no further: p of its label is 5e-5 there."""


def recommended_rung() -> McuRung:
    """Return MCU_beta with the settings that the ablation shows to be better than the paper's.

    Every tensor may bend, on networks of any size: with few of them the pathway loses what it is for. Beta by running
    accuracies of about ten batches, where a batch's own 13 to 23 forget rows are noise; four points over three quarters
    of the pathway in place of its last quarter, which costs less where the optimum lies further left; the point that
    keeps accuracy on unseen samples as well; no sweep, which only the rung above needs and measures itself; a ceiling
    for both ascents, without which they run away when a class goes entirely.
    """
    beta = AdaptiveBetaConfig(smoothing=0.9)
    return McuRung(
        pre_unlearning=NegGradPlusConfig(ceiling=CEILING),
        curve=CurveConfig(mask=MaskConfig(mode=MaskMode.FULL), objective=AscentConfig(beta=beta, ceiling=CEILING)),
        selection=SelectionConfig(criterion=Criterion.ACCURACY_AND_UTILITY, window_start=0.25, sweep=False),
    )


def taught_rung() -> MethodRung:
    """Return `reference` without a curve, which adds little to its own end, for twice the epochs that the tables have.

    Four epochs over half of D_r with half of each batch from D_f are what the audit accepts on Fashion-MNIST, at the
    cost of four epochs of retraining; MCU_beta costs more and is told from retraining.
    """
    train = TrainConfig(epochs=4, learning_rate=0.03, schedule=Schedule.COSINE)
    objective = ReferenceConfig()
    return MethodRung(method=AlignConfig(objective=objective, forget_share=0.5, retain_share=0.5, train=train))


def default_ladder(recipe: RetrainConfig | None, *, taught: bool = False) -> tuple[Rung, ...]:
    """Return the ladder: what is cheap and likely to be accepted first, exact retraining last.

    Args:
        recipe: of exact retraining; `None` where the original's is not known, and then the ladder ends without it.
        taught: whether leave-out references may teach, so that `reference` stands before MCU_beta.
    """
    rungs: tuple[Rung, ...] = (recommended_rung(), AnotherPointRung())
    if taught:
        rungs = (taught_rung(), *rungs)
    return rungs if recipe is None else (*rungs, RetrainRung(recipe=recipe))
