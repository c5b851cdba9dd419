"""Forgetting that an honest audit accepts: bounded objectives beside the paper's, audited with other references."""

from mcu_core.config import (
    AlignConfig,
    Criterion,
    CurveConfig,
    MaskConfig,
    MaskMode,
    ObjectiveConfig,
    QuantileConfig,
    ReferenceConfig,
    ReferenceFamilyConfig,
    Schedule,
    SelectionConfig,
    TrainConfig,
)
from mcu_core.experiments.cells import (
    AuditedCell,
    Cell,
    PathwayCell,
    ReferenceCell,
    RetrainedCell,
    UnlearnedCell,
    UntouchedCell,
    add_costs,
    members,
)
from mcu_core.experiments.cost import epochs_by_cpu, epochs_by_images
from mcu_core.experiments.paper import Study, neggrad_plus
from mcu_core.experiments.setup import Deletion, HardestCount, RandomCount, World
from mcu_core.experiments.tables import ADAPTIVE, Records, Row, Summary, summary, truth_rows, unlearned_row
from mcu_core.report import Part

TEACHERS, AUDITORS, JUDGES = 101, 202, 303
"""Seeds of the families: one teaches, one audits, one says what is hard."""
BY_SCORES = SelectionConfig(criterion=Criterion.DISTRIBUTION, sweep=False)
FORGET_SHARE = 0.5
"""Of D_f in the rows of a batch: seen four to five times while half of D_r is seen once."""
RETAIN_SHARE, CURVE_RETAIN_SHARE = 0.5, 0.2
"""Of D_r in an epoch. Two epochs without a curve cost two of retraining, one of the curve .4, the choice of t .6."""


class FamilyCost(Part):
    """A family of references in epochs of retraining, over the seeds' retrainings."""

    epochs_by_cpu: Summary
    epochs_by_images: Summary


def family(study: Study, seed: int) -> ReferenceFamilyConfig:
    """Return one family of references of a study's training set."""
    return ReferenceFamilyConfig(folds=study.folds, recipe=study.recipe, seed=seed)


def worlds(study: Study) -> tuple[World, ...]:
    """Return a world a seed, all with the D_train of the first, so that they share their references."""
    first = study.seeds[0]
    return tuple(
        study.world(seed).model_copy(update={"draw_seed": None if seed == first else first}) for seed in study.seeds
    )


def deletion_of_study(study: Study) -> Deletion:
    """Return what the study forgets: a class, so many of the hardest samples or of random ones, or a random share."""
    if study.label is not None:
        return study.whole_class
    if study.hardest:
        count = study.count or max(1, round(study.share * study.train_images))
        return HardestCount(count=count, family=family(study, JUDGES))
    return study.random if study.count is None else RandomCount(count=study.count)


def aligned(study: Study, objective: QuantileConfig | ReferenceConfig) -> AlignConfig:
    """Return the objective without a curve."""
    train = study.train(TrainConfig(epochs=2, learning_rate=0.03, schedule=Schedule.COSINE))
    return AlignConfig(objective=objective, forget_share=FORGET_SHARE, retain_share=RETAIN_SHARE, train=train)


def bent(study: Study, objective: ObjectiveConfig) -> CurveConfig:
    """Return the curve of an objective, over every tensor."""
    train = TrainConfig(epochs=1, learning_rate=0.02, weight_decay=0.0, schedule=Schedule.COSINE)
    epochs = study.curve_epochs or train.epochs
    return CurveConfig(
        train=train.model_copy(update={"epochs": epochs}),
        mask=MaskConfig(mode=MaskMode.FULL),
        objective=objective,
        forget_share=FORGET_SHARE,
        retain_share=CURVE_RETAIN_SHARE,
    )


def forgetting_rows(study: Study) -> tuple[Row, ...]:
    """Return the rows of the comparison, the original and RT first."""
    deletion, all_worlds = deletion_of_study(study), worlds(study)
    end = neggrad_plus(study, deletion)
    full = study.curve(deletion, ADAPTIVE).model_copy(update={"mask": MaskConfig(mode=MaskMode.FULL)})
    pathways = tuple(PathwayCell(world=world, deletion=deletion, method=end, curve=full) for world in all_worlds)
    rows = [
        *truth_rows(all_worlds, deletion),
        unlearned_row("NegGrad+", all_worlds, deletion, end),
        Row(name="MCU_β-NegGrad+", cells=pathways, rests_on="NegGrad+"),
    ]
    teachers = (family(study, TEACHERS),)
    for name, objective, asked in (("quantile", QuantileConfig(), ()), ("reference", ReferenceConfig(), teachers)):
        method, curve = aligned(study, objective), bent(study, objective)
        pathways = tuple(
            PathwayCell(world=world, deletion=deletion, method=method, curve=curve, selection=BY_SCORES, teachers=asked)
            for world in all_worlds
        )
        rows += [
            unlearned_row(f"Align {name}", all_worlds, deletion, method, asked),
            Row(name=f"MCU {name}", cells=pathways, rests_on=f"Align {name}"),
        ]
    return tuple(rows)


def teacher_cells(study: Study) -> tuple[ReferenceCell, ...]:
    """Return the cells of the family that teaches."""
    return members(worlds(study)[0], family(study, TEACHERS))


def family_cost(study: Study, records: Records) -> FamilyCost | None:
    """Return what one family of references takes; `None` where no retraining tells what an epoch takes.

    Args:
        study: whose teachers are counted; a family that audits or says what is hard takes as much.
        records: of these, and of the retrained model of every seed.
    """
    cost = add_costs(tuple(records[cell].cost for cell in teacher_cells(study)))
    deletion = deletion_of_study(study)
    retrained = [records[RetrainedCell(world=world, deletion=deletion)] for world in worlds(study)]
    known = [(truth.cost, truth.epochs) for truth in retrained if truth.metrics is not None and truth.epochs]
    by_cpu = summary([epochs_by_cpu(cost, spent, epochs) for spent, epochs in known])
    by_images = summary([epochs_by_images(cost, spent.trained // epochs) for spent, epochs in known])
    if by_cpu is None or by_images is None:
        return None
    return FamilyCost(epochs_by_cpu=by_cpu, epochs_by_images=by_images)


def audited_cells(study: Study, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return the audits of all cells of the comparison."""
    auditors = family(study, AUDITORS)
    kinds = UntouchedCell | RetrainedCell | UnlearnedCell | PathwayCell
    return tuple(AuditedCell(of=cell, family=auditors) for cell in cells if isinstance(cell, kinds))
