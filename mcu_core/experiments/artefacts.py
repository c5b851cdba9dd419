"""The tables and figures by name: which cells each is made of, and what comes out of their records."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mcu_core.config import SelectionConfig
from mcu_core.experiments.ablation import ablation_rows
from mcu_core.experiments.cells import Cell, cell_digest
from mcu_core.experiments.figures import draw_figure
from mcu_core.experiments.forgetting import (
    AUDITORS,
    FamilyCost,
    audited_cells,
    family,
    family_cost,
    forgetting_rows,
    teacher_cells,
)
from mcu_core.experiments.forgetting_ablation import forgetting_ablation_rows
from mcu_core.experiments.markdown import audit_table, divergences, paper_table, pathway_notes, reduction_table
from mcu_core.experiments.metrics import RETAIN_IMAGES, TAIL_FORGET, TAIL_NONMEMBERS
from mcu_core.experiments.panels import Figure, figure_cells, figure_markdown, figure_numbers
from mcu_core.experiments.paper import Study
from mcu_core.experiments.rivals import rival_rows
from mcu_core.experiments.setup import WholeClass
from mcu_core.experiments.tables import Records, Row, summarise, table_rows


class Artefact(StrEnum):
    """What a command makes."""

    TABLE1 = "table1"
    TABLE2 = "table2"
    TABLE3 = "table3"
    ABLATION = "ablation"
    FORGETTING = "forgetting"
    FORGETTING_ABLATION = "forgetting-ablation"
    RIVALS = "rivals"
    FIGURE2 = "figure2"
    FIGURE3 = "figure3"
    FIGURE4 = "figure4"
    FIGURE5 = "figure5"
    FIGURE6 = "figure6"
    FIGURE7 = "figure7"
    FIGURE8 = "figure8"
    FIGURE9 = "figure9"


_AUDITED = (Artefact.FORGETTING, Artefact.FORGETTING_ABLATION)
_TABLES = (
    *(Artefact.TABLE1, Artefact.TABLE2, Artefact.TABLE3),
    *(Artefact.ABLATION, Artefact.RIVALS, *_AUDITED),
)
_TITLES = {
    Artefact.TABLE1: "Table 1: six pre-unlearning methods with and without MCU_β, random deletion",
    Artefact.TABLE2: "Table 2: random deletion",
    Artefact.TABLE3: "Table 3: class-wise deletion",
    Artefact.ABLATION: "Ablation: what each setting of MCU_β is worth, random deletion",
    Artefact.FORGETTING: "Forgetting that an audit accepts",
    Artefact.FORGETTING_ABLATION: "Ablation: what each setting of the bounded objectives is worth",
    Artefact.RIVALS: "Rivals from other papers beside NegGrad+ and its pathway, random deletion",
}
_SHARED = " These are the same in every seed: ± is over trainings, not over what is forgotten."
_READING = (
    "Rates in percent, mean ± sample deviation over seeds; in parentheses the mean over seeds of the distance to the "
    "retrained model (RT) of the same seed. Avg. Gap is the mean of these. RA is measured on at most "
    f"{RETAIN_IMAGES} images of D_r, by the choice of t on {SelectionConfig().retain_images}. The 1 % tails are shown "
    f"from {TAIL_FORGET} samples of D_f and {TAIL_NONMEMBERS} unseen ones on.\n\n"
    "RTE is wall time with mask, selection and BatchNorm statistics, on a machine that others may use; the cost in "
    "epochs of retraining is by processor time and by images, of which one that is only evaluated counts .4. Neither "
    "counts A_train and A_v, which the original's training tells: one forward pass over D_train and D_v, about half an "
    "epoch by images."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What is written of an artefact."""

    data: dict[str, Any]
    """JSON."""
    markdown: str
    images: dict[str, bytes]
    """By suffix, such as `svg`; none for a table."""


def is_table(artefact: Artefact) -> bool:
    """Return whether an artefact is a table; a figure shows one seed."""
    return artefact in _TABLES


def is_audited(artefact: Artefact) -> bool:
    """Return whether its models are audited with references of their own, and whatever is named may be forgotten."""
    return artefact in _AUDITED


def cells_of(artefact: Artefact, study: Study) -> tuple[Cell, ...]:
    """Return the cells whose records an artefact is made of, one seed after the other.

    Raises:
        ConfigurationError: a figure of several seeds, or `rivals` with a share that SSD cannot forget.
    """
    if not is_table(artefact):
        return figure_cells(Figure(artefact.value), study)
    rows = _rows(artefact, study)
    cells = tuple(row.cells[index] for index in range(len(study.seeds)) for row in rows)
    return cells + audited_cells(study, cells) + teacher_cells(study) if is_audited(artefact) else cells


def render(artefact: Artefact, study: Study, records: Records) -> Rendered:
    """Return an artefact from the records of its cells."""
    common = {
        "artefact": artefact.value,
        "study": study.model_dump(mode="json"),
        "environments": environments(records),
    }
    if not is_table(artefact):
        figure = Figure(artefact.value)
        numbers = figure_numbers(figure, study, records)
        markdown = f"# {numbers.title}\n\n{figure_markdown(numbers)}\n{_provenance(study, records)}"
        drawn = {**common, "figure": numbers.model_dump(mode="json")}
        return Rendered(data=drawn, markdown=markdown, images=draw_figure(numbers))
    rows = _rows(artefact, study)
    auditors = family(study, AUDITORS) if is_audited(artefact) else None
    digests = {cell: cell_digest(cell) for row in rows for cell in row.cells}
    found = summarise(rows, records, digests, auditors=auditors)
    parts = [f"# {_TITLES[artefact]}\n", paper_table(found), "Beyond the paper:\n", audit_table(found)]
    if any(row.rests_on for row in found):
        parts += ["What the pathway brings:\n", reduction_table(found), pathway_notes(found) + "\n"]
    reasons = divergences(found)
    if reasons is not None:
        parts.append(reasons + "\n")
    if artefact is Artefact.TABLE3:
        parts.append(_class_forgotten(study.whole_class) + "\n")
    data: dict[str, Any] = {**common, "rows": [row.model_dump(mode="json") for row in found]}
    if is_audited(artefact):
        cost = family_cost(study, records)
        parts.append(_forgotten(study, cost))
        data["one_family"] = None if cost is None else cost.model_dump(mode="json")
    return Rendered(data=data, markdown="\n".join([*parts, _READING + "\n", _provenance(study, records)]), images={})


def environments(records: Records) -> list[dict[str, Any]]:
    """Return the different environments in which cells were run."""
    found = {record.environment.model_dump_json(): record.environment for record in records.values()}
    return [environment.model_dump(mode="json") for _, environment in sorted(found.items())]


def _rows(artefact: Artefact, study: Study) -> tuple[Row, ...]:  # noqa: PLR0911 - one case a table
    match artefact:
        case Artefact.TABLE1:
            return table_rows(study, study.random, per_method=True)
        case Artefact.TABLE2:
            return table_rows(study, study.random, per_method=False)
        case Artefact.TABLE3:
            return table_rows(study, study.whole_class, per_method=False)
        case Artefact.ABLATION:
            return ablation_rows(study)
        case Artefact.FORGETTING:
            return forgetting_rows(study)
        case Artefact.FORGETTING_ABLATION:
            return forgetting_ablation_rows(study)
        case Artefact.RIVALS:
            return rival_rows(study)
        case _:
            raise RuntimeError(f"{artefact} is no table")


def _forgotten(study: Study, cost: FamilyCost | None) -> str:
    shared = study.hardest or study.label is not None
    one = ""
    if cost is not None:
        one = (
            f" One family of references: {cost.epochs_by_cpu.mean:.1f} epochs (CPU) / "
            f"{cost.epochs_by_images.mean:.1f} (images)."
        )
    return (
        f"{_what(study)}{_SHARED if shared else ''} Calibrated: φ minus the φ of a model that never saw the sample; "
        f"the references that audit ({study.folds} folds, of the same training set for all seeds) are not those that "
        f"teach. Training references is amortised over tickets and on no row's account.{one}\n"
    )


def _what(study: Study) -> str:
    if study.label is not None:
        return _class_forgotten(study.whole_class)
    which = "hardest" if study.hardest else "random"
    return f"{study.count or round(study.share * study.train_images)} {which} samples are forgotten."


def _class_forgotten(deletion: WholeClass) -> str:
    return f"Class {deletion.label} is forgotten; its test images make UA_test and are left out of TA."


def _provenance(study: Study, records: Records) -> str:
    machines = sorted({f"{one.environment.processor}, {one.environment.precision}" for one in records.values()})
    return (
        f"{study.data}, {study.architecture.name}, {study.train_images} training images, seeds "
        f"{', '.join(map(str, study.seeds))}; computed on {'; '.join(machines)}.\n"
    )
