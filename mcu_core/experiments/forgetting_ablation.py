"""What each setting of the bounded objectives is worth: one changed at a time, with and without a curve."""

from mcu_core.config import (
    AlignConfig,
    BoundedObjectiveConfig,
    CurveConfig,
    MaskConfig,
    MethodConfig,
    QuantileConfig,
    ReferenceConfig,
    ReferenceFamilyConfig,
    Setting,
)
from mcu_core.experiments.cells import PathwayCell, asks_teachers
from mcu_core.experiments.forgetting import (
    BY_SCORES,
    TEACHERS,
    aligned,
    bent,
    deletion_of_study,
    family,
    worlds,
)
from mcu_core.experiments.paper import NamedMethod, Study, neggrad_plus
from mcu_core.experiments.tables import Row, truth_rows, unlearned_row

ASCENDED, REFERENCE, QUANTILE = "NegGrad+", "Align reference", "Align quantile"
"""Rows of the θ_p from which pathways are tried."""
FEW_TENSORS = MaskConfig(least_tensors=1)
"""The paper's mask as it is, on whatever few tensors that leaves."""


class NamedCurve(Setting):
    """A pathway to one of the rows."""

    name: str
    curve: CurveConfig
    end: str


def alignments(study: Study) -> tuple[NamedMethod, ...]:
    """Return what is tried without a curve: each objective as `forgetting` has it, then with one setting changed."""
    reference, quantile = ReferenceConfig(), QuantileConfig()
    plain = {REFERENCE: aligned(study, reference), QUANTILE: aligned(study, quantile)}

    def weighted(base: str, objective: BoundedObjectiveConfig, what: str) -> NamedMethod:
        return NamedMethod(name=f"{base}, {what}", config=plain[base].model_copy(update={"objective": objective}))

    return (
        NamedMethod(name=REFERENCE, config=plain[REFERENCE]),
        weighted(REFERENCE, ReferenceConfig(weight=0.3), "λ .3"),
        weighted(REFERENCE, ReferenceConfig(weight=3.0), "λ 3"),
        weighted(REFERENCE, ReferenceConfig(temperature=2.0), "temperature 2"),
        weighted(REFERENCE, ReferenceConfig(pull_up=0.0), "pull_up 0"),
        weighted(REFERENCE, ReferenceConfig(pull_up=0.3), "pull_up .3"),
        *_otherwise_trained(study, REFERENCE, plain[REFERENCE]),
        NamedMethod(name=QUANTILE, config=plain[QUANTILE]),
        weighted(QUANTILE, QuantileConfig(weight=1.0), "λ 1"),
        weighted(QUANTILE, QuantileConfig(by_class=False), "classes together"),
    )


def _otherwise_trained(study: Study, name: str, plain: AlignConfig) -> tuple[NamedMethod, ...]:
    twice = study.train(plain.train.model_copy(update={"epochs": 2 * plain.train.epochs}))
    slower = plain.train.model_copy(update={"learning_rate": plain.train.learning_rate / 3.0})
    return (
        NamedMethod(
            name=f"{name}, D_f its own share of a batch", config=plain.model_copy(update={"forget_share": None})
        ),
        NamedMethod(name=f"{name}, D_f .25 of a batch", config=plain.model_copy(update={"forget_share": 0.25})),
        NamedMethod(name=f"{name}, twice the epochs", config=plain.model_copy(update={"train": twice})),
        NamedMethod(name=f"{name}, a third of the rate", config=plain.model_copy(update={"train": slower})),
    )


def pathways(study: Study) -> tuple[NamedCurve, ...]:
    """Return what is tried with a curve."""
    reference, quantile = bent(study, ReferenceConfig()), bent(study, QuantileConfig())
    few = reference.model_copy(update={"mask": FEW_TENSORS})
    return (
        NamedCurve(name="MCU reference", curve=reference, end=REFERENCE),
        NamedCurve(name="MCU reference, few tensors", curve=few, end=REFERENCE),
        NamedCurve(name="MCU reference to NegGrad+", curve=reference, end=ASCENDED),
        NamedCurve(name="MCU quantile", curve=quantile, end=QUANTILE),
        NamedCurve(name="MCU quantile to NegGrad+", curve=quantile, end=ASCENDED),
    )


def forgetting_ablation_rows(study: Study) -> tuple[Row, ...]:
    """Return the rows of the ablation, the original and RT first, then every θ_p, then the pathways."""
    deletion, all_worlds, known = deletion_of_study(study), worlds(study), (family(study, TEACHERS),)
    ends: dict[str, MethodConfig] = {ASCENDED: neggrad_plus(study, deletion)}
    ends |= {named.name: named.config for named in alignments(study)}
    rows = truth_rows(all_worlds, deletion)
    rows += [
        unlearned_row(name, all_worlds, deletion, method, known if asks_teachers(method) else ())
        for name, method in ends.items()
    ]
    for named in pathways(study):
        asked: tuple[ReferenceFamilyConfig, ...] = known if isinstance(named.curve.objective, ReferenceConfig) else ()
        cells = tuple(
            PathwayCell(
                world=world,
                deletion=deletion,
                method=ends[named.end],
                curve=named.curve,
                selection=BY_SCORES,
                teachers=asked,
            )
            for world in all_worlds
        )
        rows.append(Row(name=named.name, cells=cells, rests_on=named.end))
    return tuple(rows)
