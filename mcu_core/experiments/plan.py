"""What is still to be run, and how long that will take."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

from mcu_core.config import AlignConfig, GradientAscentConfig, MethodConfig, NegTaskVectorConfig, SsdConfig
from mcu_core.experiments.cells import (
    AuditedCell,
    Cell,
    OriginalCell,
    PathwayCell,
    ReferenceCell,
    RetrainedCell,
    SweepCell,
    UnlearnedCell,
    UntouchedCell,
    dependencies,
)
from mcu_core.experiments.cost import FORWARD_SHARE
from mcu_core.experiments.setup import Deletion, HardestCount, RandomCount, RandomShare, WholeClass, World
from mcu_core.experiments.store import CellStore
from mcu_core.pipeline import pathway_name
from mcu_core.types import Phase, ProgressUpdate

MEASURED_IMAGES = 18_000
"""Images that measuring a model reads, about: a guess for the time left, nothing else."""
LEAST_SHARE = 0.005
"""Of the work, before which the first steps' slowness would be taken for the pace."""
_TRAININGS = frozenset({Phase.RETRAIN, Phase.PRE_UNLEARN, Phase.CURVE})


def missing(cells: Iterable[Cell], store: CellStore) -> tuple[Cell, ...]:
    """Return what must be run for the records of some cells, what is needed first coming first, each once.

    A cell whose record is kept is among them only where a missing cell needs its weights and these are gone.
    """
    found: dict[Cell, None] = {}

    def add(cell: Cell, *, is_for_weights: bool) -> None:
        if cell in found:
            return
        record = store.read(cell)
        if record is not None and (not is_for_weights or record.weights is None or store.has_weights(cell)):
            return
        for need in dependencies(cell):
            add(need, is_for_weights=True)
        found[cell] = None

    for cell in cells:
        add(cell, is_for_weights=False)
    return tuple(found)


def expected_images(cell: Cell) -> float:  # noqa: PLR0911 - one case a kind
    """Return how many trained images a cell costs, about; the end of a training before its horizon is not foreseen."""
    measuring = FORWARD_SHARE * MEASURED_IMAGES
    match cell:
        case OriginalCell(world=world):
            return world.recipe.train.epochs * world.train_images
        case UntouchedCell():
            return measuring
        case RetrainedCell(world=world):
            return world.recipe.train.epochs * (world.train_images - _forget_count(world, cell.deletion)) + measuring
        case ReferenceCell(world=world, family=family):
            return family.recipe.train.epochs * world.train_images * (1.0 - 1.0 / family.folds)
        case AuditedCell():
            return measuring
        case UnlearnedCell():
            return _method_images(cell.world, cell.deletion, cell.method) + measuring
        case PathwayCell(world=world, curve=curve):
            forget = _forget_count(world, cell.deletion)
            epoch = _mixed_images(forget, curve.retain_share * (world.train_images - forget), curve.forget_share)
            return curve.train.epochs * epoch + curve.mask.retain_images + forget + 2 * measuring
        case SweepCell(pathway=pathway):
            forget = _forget_count(pathway.world, pathway.deletion)
            return cell.points * FORWARD_SHARE * (forget + 2 * cell.images + pathway.selection.batchnorm_images)
        case _:
            assert_never(cell)


def label_of(cell: Cell) -> str:
    """Return what a person calls a cell."""
    match cell:
        case OriginalCell() | UntouchedCell() | RetrainedCell():
            return f"seed {cell.world.seed}, {cell.kind}"
        case UnlearnedCell():
            return f"seed {cell.world.seed}, {cell.method.kind}"
        case PathwayCell():
            return f"seed {cell.world.seed}, {pathway_name(cell.curve).value} to {cell.method.kind}"
        case ReferenceCell(family=family):
            return f"reference {cell.fold + 1} of {family.folds}, family {family.seed}"
        case AuditedCell(of=audited):
            return f"{label_of(audited)}, audited"
        case SweepCell(pathway=pathway):
            return f"seed {pathway.world.seed}, sweep of {pathway_name(pathway.curve).value} to {pathway.method.kind}"
        case _:
            assert_never(cell)


def _method_images(world: World, deletion: Deletion, method: MethodConfig) -> float:
    if isinstance(method, SsdConfig):
        return _forget_count(world, deletion) + world.train_images  # one gradient a sample of D_f and of D_train
    if isinstance(method, GradientAscentConfig | NegTaskVectorConfig):
        return method.train.epochs * _forget_count(world, deletion)
    if isinstance(method, AlignConfig):
        forget = _forget_count(world, deletion)
        retain = method.retain_share * (world.train_images - forget)
        return method.train.epochs * _mixed_images(forget, retain, method.forget_share)
    return method.train.epochs * world.train_images


def _mixed_images(forget: float, retain: float, forget_share: float | None) -> float:
    """Return what one epoch of mixed batches reads."""
    return forget + retain if forget_share is None else retain / (1.0 - forget_share)


def _forget_count(world: World, deletion: Deletion) -> float:
    match deletion:
        case RandomShare():
            return deletion.share * world.train_images
        case RandomCount() | HardestCount():
            return deletion.count
        case WholeClass():
            return world.train_images / world.architecture.classes
        case _:
            assert_never(deletion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a plan is."""

    label: str
    """Of the cell that runs."""
    phase: Phase
    share_of_cell: float
    """In [0, 1]."""
    finished: int
    """Cells."""
    total: int
    """Cells."""
    seconds_left: float | None
    """`None` before anything is known."""


class Stopwatch:
    """Turns what a laboratory tells into a standing: the pace so far is the pace to come."""

    def __init__(self, plan: tuple[Cell, ...], now: Callable[[], float]) -> None:
        self._weights = {cell: expected_images(cell) for cell in plan}
        self._now = now
        self._start = now()
        self._finished: set[Cell] = set()
        self._running: Cell | None = None
        self._share = 0.0

    def __call__(self, cell: Cell, update: ProgressUpdate, /) -> Standing:
        """Take note of an update; a cell that is told of ends the one that was told of before."""
        if cell != self._running:
            if self._running is not None:
                self._finished.add(self._running)
            self._running, self._share = cell, 0.0
            self._finished.discard(cell)  # it had begun, and found that weights which it needs were gone
        if update.phase in _TRAININGS:
            self._share = (update.epoch + update.step / update.steps) / update.epochs
        return Standing(
            label=label_of(cell),
            phase=update.phase,
            share_of_cell=self._share,
            finished=len(self._finished),
            total=max(len(self._weights), len(self._finished) + 1),
            seconds_left=self._seconds_left(cell),
        )

    def _seconds_left(self, cell: Cell) -> float | None:
        done = sum(self._weights.get(finished, 0.0) for finished in self._finished)
        done += self._share * self._weights.get(cell, 0.0)
        total = sum(self._weights.values())
        if done < LEAST_SHARE * total or not done:
            return None
        return (self._now() - self._start) * (total - done) / done
