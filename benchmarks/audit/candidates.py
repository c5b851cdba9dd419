"""The models that are offered to the audit, each with what should become of it."""

from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from benchmarks.audit.setting import AuditedCase
from mcu_core.config import GradientAscentConfig, RandomLabelConfig, SelectionConfig, TrainConfig
from mcu_core.connectivity.sweep import selection_rows
from mcu_core.data import subsample
from mcu_core.experiments.cells import Cell, PathwayCell, RetrainedCell, UnlearnedCell
from mcu_core.experiments.forgetting import forgetting_rows
from mcu_core.experiments.forgetting_ablation import forgetting_ablation_rows
from mcu_core.experiments.paper import neggrad_plus
from mcu_core.experiments.running import state_on_pathway
from mcu_core.inference import reestimate_batchnorm
from mcu_core.methods import name_of
from mcu_core.pipeline import pathway_name
from mcu_core.report import ModelName
from mcu_core.runtime import stream
from mcu_core.types import Candidate, Outcome, State


class Offered(StrEnum):
    """What the audit is offered."""

    ORIGINAL = "original"
    """The original with the last bit of one weight changed and BatchNorm statistics of D_r: as it stands it would be
    refused as unchanged, before any test."""
    RETRAINED = "retrained"
    NEGGRAD_PLUS = "neggrad_plus_1_epoch"
    OVER_FORGOTTEN = "over_forgotten"
    """A long gradient ascent on D_f."""
    SHUFFLED = "shuffled_labels"
    """Trained on with D_r and with D_f under random labels."""
    MCU_BETA = "mcu_beta"
    QUANTILE = "quantile"
    REFERENCE = "reference"
    REFERENCE_LONGER = "reference_twice_the_epochs"
    """Without a curve: it adds little to its own end."""


LONG_ASCENT = GradientAscentConfig(
    stop_at_forget_accuracy=0.5, train=TrainConfig(epochs=50, learning_rate=1e-3, weight_decay=0.0)
)
"""Until half of D_f is wrong, where a model that never saw it has a tenth wrong."""
SHUFFLED_LABELS = RandomLabelConfig(train=TrainConfig(epochs=2, learning_rate=0.01))
ROWS = {
    Offered.MCU_BETA: "MCU_β-NegGrad+",
    Offered.QUANTILE: "MCU quantile",
    Offered.REFERENCE: "MCU reference",
    Offered.REFERENCE_LONGER: "Align reference, twice the epochs",
}
"""By their names in `unlearn bench forgetting` and `forgetting-ablation`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """A candidate, and the images of D_r that its BatchNorm statistics should come from."""

    outcome: Outcome
    batchnorm: Tensor | None


def cell_of(case: AuditedCase, offered: Offered) -> Cell | None:
    """Return the cell that a candidate is made of; `None` for the original."""
    study, world, deletion = case.bench.study, case.world, case.bench.deletion
    match offered:
        case Offered.ORIGINAL:
            return None
        case Offered.RETRAINED:
            return RetrainedCell(world=world, deletion=deletion)
        case Offered.NEGGRAD_PLUS:
            method = neggrad_plus(study, deletion)
            method = method.model_copy(update={"train": method.train.model_copy(update={"epochs": 1})})
            return UnlearnedCell(world=world, deletion=deletion, method=method)
        case Offered.OVER_FORGOTTEN:
            return UnlearnedCell(world=world, deletion=deletion, method=LONG_ASCENT)
        case Offered.SHUFFLED:
            return UnlearnedCell(world=world, deletion=deletion, method=SHUFFLED_LABELS)
        case Offered.MCU_BETA | Offered.QUANTILE | Offered.REFERENCE | Offered.REFERENCE_LONGER:
            rows = {row.name: row for row in (*forgetting_ablation_rows(study), *forgetting_rows(study))}
            return rows[ROWS[offered]].cells[study.seeds.index(world.seed)]


def offer(case: AuditedCase, offered: Offered) -> Offer:
    """Make a candidate, from the store where it is kept.

    Raises:
        DivergedError: its training diverged.
    """
    cell, problem = cell_of(case, offered), case.posed[0]
    usual = subsample(problem.retain, SelectionConfig().batchnorm_images, stream(case.world.seed, "batchnorm"))
    laboratory, t = case.bench.laboratory, None
    rows: Tensor | None = usual
    match cell:
        case None:
            name, state = ModelName.GIVEN, reestimate_batchnorm(case.work.runtime, _nudged(case.original), usual)
        case RetrainedCell():
            name, state, rows = ModelName.RETRAINED, laboratory.state(cell), None
        case UnlearnedCell():
            name, state = name_of(cell.method), laboratory.state(cell)
        case PathwayCell():
            pathway, record = laboratory.pathway(cell), laboratory.record(cell)
            name, t = pathway_name(cell.curve), record.chosen.t if record.chosen else None
            state = state_on_pathway(cell, case.work, case.split, case.original, pathway=pathway, record=record)
            rows = selection_rows(problem, cell.selection, stream(case.world.seed, "selection")).batchnorm
        case _:
            raise RuntimeError(f"no candidate is made of a cell of kind {cell.kind}")
    outcome = Outcome(
        name=name,
        candidate=Candidate(t=t, state=state),
        references=case.aligned_with,
        seconds={},
    )
    return Offer(outcome=outcome, batchnorm=rows)


def _nudged(state: State) -> State:
    name, tensor = next(iter(state.params.items()))
    moved = tensor.clone()
    first = moved.view(-1)[:1]
    first.copy_(torch.nextafter(first, torch.full_like(first, torch.inf)))
    return replace(state, params={**state.params, name: moved})
