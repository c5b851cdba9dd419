"""How each kind of cell is computed, from the weights that it needs to its record."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mcu_core import checkpoint, models
from mcu_core.audit.facts import environment
from mcu_core.config import PointPolicy, SelectionConfig
from mcu_core.connectivity import sweep as path_sweep
from mcu_core.connectivity.fit import choose_mask, fit_curve
from mcu_core.connectivity.selection import Choice, choose_point, effective_region
from mcu_core.data import BatchReader, subsample
from mcu_core.errors import ConfigurationError
from mcu_core.experiments.cells import (
    AuditedCell,
    Cell,
    CellRecord,
    Chosen,
    OriginalCell,
    PathwayCell,
    ReferenceCell,
    RetrainedCell,
    Sweep,
    SweepCell,
    SweepPoint,
    UnlearnedCell,
)
from mcu_core.experiments.cost import Meter
from mcu_core.experiments.metrics import CONFIDENCE, TAIL_LEVEL, draw_measured_rows, measure
from mcu_core.experiments.setup import Samples, Split, World
from mcu_core.inference import Point, accuracy, count_right, logits, reestimate_batchnorm, reestimate_buffers
from mcu_core.methods import unlearn
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.pipeline import measure_references
from mcu_core.references import ReferenceFamily, calibrated_scores, train_reference
from mcu_core.report import References
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.statistics.auc import auc
from mcu_core.statistics.tails import both_tails
from mcu_core.types import Buffers, Params, Pathway, Phase, Problem, Progress, ProgressUpdate, State, Teacher


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What running a cell leaves."""

    record: CellRecord
    weights: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """What every cell of one world is computed with."""

    samples: Samples
    world: World
    runtime: Runtime
    meter: Meter
    progress: Progress

    def problem(self, split: Split, original: State, teacher: Teacher | None = None) -> Problem:
        """Return what unlearning may read: neither D_t's forgotten class nor the sealed samples."""
        return Problem(
            model=self.runtime.model,
            architecture=self.world.architecture,
            original=original,
            data=self.samples.data,
            forget=split.forget,
            retain=split.retain,
            validation=split.validation,
            test=split.test,
            teacher=teacher,
        )

    def random(self, purpose: str) -> torch.Generator:
        """Return the generator of one purpose."""
        return stream(self.world.seed, purpose)


def prepare(samples: Samples, world: World, device: torch.device, progress: Progress) -> Work:
    """Return what the cells of a world are computed with; every image through its network is counted."""
    _warm_up()
    meter = Meter(device)
    runtime = Runtime(
        model=meter.watch(models.build(world.architecture)),
        reader=BatchReader(data=samples.data, architecture=world.architecture, device=device),
        dtype=resolve_precision(world.precision, device),
        evaluation_batch=world.evaluation_batch,
    )
    return Work(samples=samples, world=world, runtime=runtime, meter=meter, progress=progress)


def _warm_up() -> None:
    """Let torch load what its first optimiser step loads: two seconds that are on no cell's account."""
    leaf = torch.zeros(1, requires_grad=True)
    leaf.grad = torch.ones(1)
    torch.optim.SGD([leaf], lr=0.1).step()


def make_original(cell: OriginalCell, work: Work, rows: Tensor) -> Made:
    """Train θ_o on D_train."""
    state, epochs = _train(work, rows, "original")
    reached = accuracy(work.runtime.in_float32(), state, rows)
    record = CellRecord(
        cell=cell,
        epochs=epochs,
        train_accuracy=reached,
        costs=work.meter.costs,
        environment=environment(work.runtime),
    )
    return Made(record=record, weights=checkpoint.to_bytes(state))


def make_retrained(cell: RetrainedCell, work: Work, split: Split) -> Made:
    """Train on D_r alone and measure."""
    state, epochs = _train(work, split.retain, "retrain")
    record = measured(cell, work, split, state).model_copy(update={"epochs": epochs})
    return Made(record=record, weights=checkpoint.to_bytes(state))


def make_reference(cell: ReferenceCell, work: Work, rows: Tensor) -> Made:
    """Train one member of a family on D_train without its fold."""
    if cell.fold >= cell.family.folds:
        raise ConfigurationError(f"a family of {cell.family.folds} folds has no fold {cell.fold}")
    with work.meter.phase(Phase.RETRAIN):
        state = train_reference(work.runtime, rows, cell.family, cell.fold, progress=work.progress)
    record = CellRecord(cell=cell, costs=work.meter.costs, environment=environment(work.runtime))
    return Made(record=record, weights=checkpoint.to_bytes(state))


def make_audited(cell: AuditedCell, work: Work, split: Split, state: State, family: ReferenceFamily) -> Made:
    """Compare D_f with unseen images by φ beyond that of models which saw neither."""
    runtime = work.runtime.in_float32()
    rows = draw_measured_rows(work.samples.data.labels, split, work.world.seed)
    forget, sealed = (
        calibrated_scores(family, runtime, part, lambda asked: logits(runtime, state, asked)).numpy()
        for part in (rows.forget, rows.sealed)
    )
    record = CellRecord(
        cell=cell,
        calibrated=auc(forget, sealed, confidence=CONFIDENCE),
        calibrated_tails=both_tails(forget, sealed, level=TAIL_LEVEL),
        environment=environment(runtime),
    )
    return Made(record=record)


def make_unlearned(cell: UnlearnedCell, work: Work, split: Split, original: State, *, teacher: Teacher | None) -> Made:
    """Run an unlearning method, estimate BatchNorm statistics on D_r, and measure."""
    with work.meter.phase(Phase.PRE_UNLEARN):
        raw = unlearn(
            work.problem(split, original, teacher),
            cell.method,
            work.random("pre_unlearn"),
            runtime=work.runtime,
            progress=work.progress,
        )
    with work.meter.phase(Phase.SELECT):  # there is nothing to select but statistics
        state = reestimate_batchnorm(work.runtime, raw, _batchnorm_rows(work, split, SelectionConfig()))
    return Made(record=measured(cell, work, split, state), weights=checkpoint.to_bytes(state))


def make_pathway(
    cell: PathwayCell, work: Work, split: Split, original: State, *, end: Params, teacher: Teacher | None
) -> Made:
    """Choose the mask, train the curve, choose the point, and measure the model there."""
    problem, runtime = work.problem(split, original, teacher), work.runtime
    references = measure_references(problem, runtime)  # known from the original's training: on nobody's account
    with work.meter.phase(Phase.MASK):
        mask = choose_mask(problem, cell.curve.mask, work.random("mask"), runtime=runtime, progress=work.progress)
    with work.meter.phase(Phase.CURVE):
        fit = fit_curve(
            problem,
            end,
            mask.names,
            references,
            cell.curve,
            rng=work.random("curve"),
            runtime=runtime,
            progress=work.progress,
        )
    with work.meter.phase(Phase.SELECT):
        sweep = _sweep(cell, work, problem, fit.pathway, references)
        choice = choose(sweep, references, cell.selection)
        state = sweep.state_at(choice.t)
    chosen = Chosen(
        t=choice.t,
        evaluated=choice.evaluated,
        mask_share=mask.share,
        mask_tensors=len(mask.names),
        mask_note=mask.note,
        beta_counts=fit.beta_counts,
    )
    update = {"chosen": chosen, "references": references}
    record = measured(cell, work, split, state).model_copy(update=update)
    return Made(record=record, weights=checkpoint.pathway_to_bytes(fit.pathway))


def _sweep(
    cell: PathwayCell, work: Work, problem: Problem, pathway: Pathway, references: References
) -> path_sweep.Sweep:
    return path_sweep.Sweep(
        runtime=work.runtime,
        pathway=pathway,
        buffers=problem.original.buffers,
        rows=path_sweep.selection_rows(problem, cell.selection, work.random("selection")),
        references=references,
        progress=work.progress,
    )


def state_on_pathway(
    cell: PathwayCell, work: Work, split: Split, original: State, *, pathway: Pathway, record: CellRecord
) -> State:
    """Return the model that was chosen on a pathway."""
    if record.chosen is None or record.references is None:
        raise RuntimeError("the record of a pathway tells neither the choice nor its references")
    problem = work.problem(split, original)
    return _sweep(cell, work, problem, pathway, record.references).state_at(record.chosen.t)


def choose(sweep: path_sweep.Sweep, references: References, config: SelectionConfig) -> Choice:
    """Choose a point.

    The balanced choice needs no sweep, so none is measured: the drawing of the effective region is a cell of its own.
    The other policies read the whole pathway.
    """
    whole = config.policy is not PointPolicy.BALANCED
    return choose_point(sweep.measure, references, config.model_copy(update={"sweep": whole}))


def make_sweep(
    cell: SweepCell, work: Work, split: Split, original: State, *, pathway: Pathway, retrained: State
) -> Made:
    """Measure a pathway at equally spaced t, and the retrained model on the same images."""
    runtime = work.runtime
    references = measure_references(work.problem(split, original), runtime)
    positions = np.linspace(0.0, 1.0, cell.points).tolist()
    points: list[Point] = [partial(pathway.at, t) for t in positions]
    rows = _batchnorm_rows(work, split, cell.pathway.selection)
    buffers = reestimate_buffers(runtime, points, original.buffers, rows)
    evaluated: list[tuple[Point, Buffers]] = list(zip(points, buffers, strict=True))
    evaluated.append((lambda: retrained.params, retrained.buffers))
    rng = work.random("sweep")
    retain, test = subsample(split.retain, cell.images, rng), subsample(split.test, cell.images, rng)
    parts = {"forget": split.forget, "retain": retain, "test": test}
    if len(split.class_test):
        parts["class_test"] = split.class_test
    shares = {name: _shares(work, evaluated, rows) for name, rows in {**parts, "validation": split.validation}.items()}
    measured_points = tuple(
        SweepPoint(t=t, **{name: shares[name][index] for name in parts}) for index, t in enumerate([*positions, 0.0])
    )
    alignment = tuple(
        path_sweep.path_point(
            point.t, forget=point.forget, retain=point.retain, validation=validation, references=references
        )
        for point, validation in zip(measured_points[:-1], shares["validation"][:-1], strict=True)
    )
    result = Sweep(
        points=measured_points[:-1],
        alignment=alignment,
        region=effective_region(alignment),
        retrained=measured_points[-1],
    )
    record = CellRecord(cell=cell, sweep=result, references=references, environment=environment(runtime))
    return Made(record=record)


def measured(cell: Cell, work: Work, split: Split, state: State) -> CellRecord:
    """Return the record of a model with its metrics and the costs so far."""
    rows = draw_measured_rows(work.samples.data.labels, split, work.world.seed)
    return CellRecord(
        cell=cell,
        metrics=measure(work.runtime, state, rows),
        costs=work.meter.costs,
        environment=environment(work.runtime),
    )


def _train(work: Work, rows: Tensor, purpose: str) -> tuple[State, int]:
    """Return the trained state and the number of epochs that it took."""
    epochs = 0

    def note(update: ProgressUpdate, /) -> None:
        nonlocal epochs
        epochs = update.epoch + 1
        work.progress(update)

    with work.meter.phase(Phase.RETRAIN):
        state = train_from_scratch(work.runtime, rows, work.world.recipe, work.random(purpose), progress=note)
    return state, epochs


def _batchnorm_rows(work: Work, split: Split, selection: SelectionConfig) -> Tensor:
    return subsample(split.retain, selection.batchnorm_images, work.random("batchnorm"))


def _shares(work: Work, points: Sequence[tuple[Point, Buffers]], rows: Tensor) -> list[float]:
    """Return the accuracy of each point."""
    done, steps = 0, work.runtime.chunk_count(rows)

    def tick() -> None:
        nonlocal done
        done += 1
        work.progress(ProgressUpdate(phase=Phase.SELECT, epoch=0, epochs=1, step=done, steps=steps))

    return [right / len(rows) for right in count_right(work.runtime, points, rows, tick=tick)]
