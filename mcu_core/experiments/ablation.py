"""What each of the paper's settings of MCU_β is worth: one changed at a time, and all changes that pay together."""

from mcu_core.config import (
    CEILING,
    AdaptiveBetaConfig,
    AscentConfig,
    BetaRule,
    Criterion,
    CurveConfig,
    MaskConfig,
    MethodConfig,
    NegGradPlusConfig,
    QuantileConfig,
    Schedule,
    SelectionConfig,
    Setting,
    TrainConfig,
    recommended_rung,
)
from mcu_core.experiments.cells import PathwayCell
from mcu_core.experiments.paper import Study, neggrad_plus
from mcu_core.experiments.tables import Row, truth_rows, unlearned_row

SMOOTHING = 0.9
"""Of the running accuracies that β is decided by: about ten batches."""
HALF_EPOCHS = 5
"""Of the curve, in place of the paper's ten."""
WIDE = SelectionConfig(window_start=0.25)
"""Four points over three quarters of the pathway, where the paper's four lie in its last quarter."""
LONG, SHORT, BOUNDED = "NegGrad+", "NegGrad+, 2 epochs", "NegGrad+, with a ceiling"
"""Rows of the θ_p."""
USEFUL = SelectionConfig(criterion=Criterion.ACCURACY_AND_UTILITY)


class Variation(Setting):
    """One way to change MCU_β; what is not named stays as the paper has it."""

    name: str
    curve: CurveConfig = CurveConfig()
    selection: SelectionConfig = SelectionConfig()
    end: str = LONG
    """The row of θ_p."""


def variations() -> tuple[Variation, ...]:
    """Return what is tried, the paper's own settings first."""
    smooth = AscentConfig(beta=AdaptiveBetaConfig(smoothing=SMOOTHING))
    intended = AscentConfig(beta=AdaptiveBetaConfig(rule=BetaRule.INTENDED))
    train = CurveConfig().train
    fewer = train.model_copy(update={"epochs": HALF_EPOCHS})
    falling = train.model_copy(update={"schedule": Schedule.COSINE})
    both = fewer.model_copy(update={"schedule": Schedule.COSINE})
    return (
        Variation(name="MCU_β"),
        Variation(name="few tensors", curve=CurveConfig(mask=MaskConfig(least_tensors=1))),
        Variation(name="β by running accuracies", curve=CurveConfig(objective=smooth)),
        Variation(name="β as intended", curve=CurveConfig(objective=intended)),
        Variation(name="rate falling to 0", curve=CurveConfig(train=falling)),
        Variation(name="5 epochs", curve=CurveConfig(train=fewer)),
        Variation(name="t from .25", selection=WIDE),
        Variation(name="t by utility too", selection=USEFUL),
        Variation(name="θ_p of 2 epochs", end=SHORT),
        Variation(name="the five together", curve=CurveConfig(objective=smooth, train=both), selection=WIDE, end=SHORT),
        Variation(
            name="quantile", curve=CurveConfig(objective=QuantileConfig(), train=both), selection=WIDE, end=SHORT
        ),
        Variation(
            name="the service's default",
            curve=recommended_rung().curve,
            selection=recommended_rung().selection,
            end=BOUNDED,
        ),
    )


def short_neggrad_plus(study: Study) -> NegGradPlusConfig:
    """Return NegGrad+ of two epochs whose learning rate falls to zero."""
    train = TrainConfig(epochs=2, learning_rate=0.01, schedule=Schedule.COSINE)
    return NegGradPlusConfig(train=study.train(train))


def ablation_rows(study: Study) -> tuple[Row, ...]:
    """Return the rows of the ablation: the θ_p, then a pathway to one of them with each variation."""
    deletion = study.random
    worlds = [study.world(seed) for seed in study.seeds]
    bounded = NegGradPlusConfig(ceiling=CEILING)
    ends: dict[str, MethodConfig] = {
        LONG: neggrad_plus(study, deletion),
        SHORT: short_neggrad_plus(study),
        BOUNDED: bounded.model_copy(update={"train": study.train(bounded.train)}),
    }
    rows = truth_rows(worlds, deletion)
    rows += [unlearned_row(name, worlds, deletion, method) for name, method in ends.items()]
    for variation in variations():
        pathways = tuple(
            PathwayCell(
                world=world,
                deletion=deletion,
                method=ends[variation.end],
                curve=study.curve(deletion, variation.curve),
                selection=variation.selection,
            )
            for world in worlds
        )
        rows.append(Row(name=variation.name, cells=pathways, rests_on=variation.end))
    return tuple(rows)
