"""Running cells: what a record needs is made first, and only where it is missing."""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Protocol, assert_never

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core import checkpoint, models
from mcu_core.audit.facts import environment
from mcu_core.config import ReferenceFamilyConfig
from mcu_core.errors import ConfigurationError, DivergedError, NoEffectError
from mcu_core.experiments.cells import (
    AuditableCell,
    AuditedCell,
    Cell,
    CellRecord,
    OriginalCell,
    PathwayCell,
    ReferenceCell,
    RetrainedCell,
    StateCell,
    SweepCell,
    UnlearnedCell,
    UntouchedCell,
    cell_digest,
    deletion_of,
    dependencies,
    members,
    unlearned_of,
    world_of,
)
from mcu_core.experiments.metrics import draw_measured_rows
from mcu_core.experiments.running import (
    Made,
    Work,
    make_audited,
    make_original,
    make_pathway,
    make_reference,
    make_retrained,
    make_sweep,
    make_unlearned,
    measured,
    prepare,
    state_on_pathway,
)
from mcu_core.experiments.setup import (
    Deletion,
    HardestCount,
    Samples,
    Split,
    World,
    draw_split,
    draw_train,
)
from mcu_core.experiments.store import CellStore
from mcu_core.references import ReferenceFamily, assemble_family, teacher_of
from mcu_core.types import Pathway, Phase, ProgressUpdate, State, Teacher


class CellProgress(Protocol):
    """Is told what runs and how far it is, at its beginning and at every step; it must return quickly."""

    def __call__(self, cell: Cell, update: ProgressUpdate, /) -> None:
        """Take note of an update."""


def ignore_cell_progress(cell: Cell, update: ProgressUpdate, /) -> None:
    """Take no note."""


class Laboratory:
    """Runs cells over one data set and keeps them in a store.

    A cell whose record is kept is not run again, even when its weights are gone: they are made again only when a cell
    that is missing needs them. An interruption, by whatever exception, leaves every finished cell in the store.
    """

    def __init__(
        self,
        samples: Samples,
        store: CellStore,
        *,
        device: torch.device,
        progress: CellProgress = ignore_cell_progress,
    ) -> None:
        self._samples = samples
        self._digest = samples.digest
        self._store = store
        self._device = device
        self._progress = progress

    def record(self, cell: Cell) -> CellRecord:
        """Return a cell's record, from the store or by running it and whatever it needs.

        Raises:
            ConfigurationError: the cell is about other data, or its settings do not fit the data.
            DataError: the data lack a class, or a label lies out of range.
        """
        found = self._store.read(cell)
        if found is None:
            with self._store.lock(cell):
                found = self._store.read(cell)  # another process may have made it in the meantime
                if found is None:
                    found = self._make(cell).record
        return found

    def state(self, cell: StateCell) -> State:
        """Return the weights of a cell.

        Raises:
            DivergedError: it has none.
        """
        content, digest = self._weights(cell)
        model = models.build(cell.world.architecture)
        return checkpoint.load(content, model, expected_digest=digest).to(self._device)

    def pathway(self, cell: PathwayCell) -> Pathway:
        """Return the pathway of a cell.

        Raises:
            DivergedError: it has none.
        """
        content, digest = self._weights(cell)
        original = self.state(OriginalCell(world=cell.world))
        return checkpoint.load_pathway(content, original.params, expected_digest=digest)

    def family(self, world: World, config: ReferenceFamilyConfig) -> ReferenceFamily:
        """Return a family of references of a world's D_train.

        Raises:
            DivergedError: a member has no weights.
        """
        models = [self.state(cell) for cell in members(world, config)]
        return assemble_family(draw_train(self._samples, world)[0], config, models)

    def _weights(self, cell: Cell) -> tuple[bytes, str]:
        _require_converged(self.record(cell))
        content = self._kept_weights(cell)
        if content is None:
            with self._store.lock(cell):
                content = self._kept_weights(cell) or self._weights_made_again(cell)
        return content, hashlib.sha256(content).hexdigest()

    def _kept_weights(self, cell: Cell) -> bytes | None:
        """Return a cell's weights where they are those of its record."""
        record, content = self._store.read(cell), self._store.read_weights(cell)
        if record is None or content is None or hashlib.sha256(content).hexdigest() != record.weights:
            return None
        return content

    def _weights_made_again(self, cell: Cell) -> bytes:
        made = self._make(cell)
        _require_converged(made.record)
        if made.weights is None:
            raise RuntimeError(f"a cell of kind {cell.kind} leaves no weights")
        return made.weights

    def _make(self, cell: Cell) -> Made:
        self._progress(cell, ProgressUpdate(phase=Phase.AUDIT, epoch=0, epochs=1, step=0, steps=1))
        work = self._work(cell)
        try:
            made = self._run(cell, work)
        except (DivergedError, NoEffectError) as error:
            made = Made(record=CellRecord(cell=cell, diverged=str(error), environment=environment(work.runtime)))
        record = made.record.model_copy(update={"inputs": self._inputs(cell)})
        if made.weights is not None:
            # The weights first: a record is the promise that its weights were there.
            self._store.write_weights(cell, made.weights)
            record = record.model_copy(update={"weights": hashlib.sha256(made.weights).hexdigest()})
        known = self._store.read(cell)
        if known is not None:  # only its weights were missing: the numbers that were read before stay
            if record.weights is None:
                return made  # it diverged this time; the record still tells which weights its numbers are of
            record = known.model_copy(update={"weights": record.weights})
        self._store.write(record)
        return replace(made, record=record)

    def _work(self, cell: Cell) -> Work:
        world = world_of(cell)
        if world.data_digest != self._digest:
            raise ConfigurationError(f"the cell is about {world.data} {world.data_digest}, not {self._digest}")
        return prepare(self._samples, world, self._device, partial(self._progress, cell))

    def _inputs(self, cell: Cell) -> dict[str, str]:
        records = {cell_digest(need): self._store.read(need) for need in dependencies(cell)}
        return {digest: record.weights for digest, record in records.items() if record is not None and record.weights}

    def _train(self, cell: OriginalCell | ReferenceCell | RetrainedCell, work: Work) -> Made:
        match cell:
            case OriginalCell():
                return make_original(cell, work, draw_train(self._samples, work.world)[0])
            case ReferenceCell():
                return make_reference(cell, work, draw_train(self._samples, work.world)[0])
            case RetrainedCell():
                return make_retrained(cell, work, self._split(cell.deletion, work))
            case _:
                assert_never(cell)

    def _run(self, cell: Cell, work: Work) -> Made:
        if isinstance(cell, OriginalCell | ReferenceCell | RetrainedCell):
            return self._train(cell, work)
        world, deletion = work.world, deletion_of(cell)
        split = self._split(deletion, work)
        original = self.state(OriginalCell(world=world))
        match cell:
            case UntouchedCell():
                return Made(record=measured(cell, work, split, original))
            case UnlearnedCell():
                return make_unlearned(cell, work, split, original, teacher=self._teacher(cell, work, split))
            case PathwayCell():
                end = self.state(unlearned_of(cell)).params
                return make_pathway(cell, work, split, original, end=end, teacher=self._teacher(cell, work, split))
            case AuditedCell(of=audited):
                state = self._audited_state(audited, work, split, original)
                return make_audited(cell, work, split, state, self.family(world, cell.family))
            case SweepCell():
                retrained = self.state(RetrainedCell(world=world, deletion=deletion))
                pathway = self.pathway(cell.pathway)
                return make_sweep(cell, work, split, original, pathway=pathway, retrained=retrained)
            case _:
                assert_never(cell)

    def _split(self, deletion: Deletion, work: Work) -> Split:
        """Return who is who; that this can be measured is checked before anything is trained on it."""
        split = self._drawn(deletion, work)
        draw_measured_rows(self._samples.data.labels, split, work.world.seed)
        return split

    def _drawn(self, deletion: Deletion, work: Work) -> Split:
        if not isinstance(deletion, HardestCount):
            return draw_split(self._samples, work.world, deletion)
        family, runtime = self.family(work.world, deletion.family), work.runtime.in_float32()

        def losses(rows: Tensor) -> Tensor:
            labels = self._samples.data.labels[rows]
            return functional.cross_entropy(family.answers(runtime, rows), labels, reduction="none")

        return draw_split(self._samples, work.world, deletion, losses=losses)

    def _teacher(self, cell: UnlearnedCell | PathwayCell, work: Work, split: Split) -> Teacher | None:
        """Return the answers of a cell's families to D_f and D_v; asking them is on the families' account."""
        if not cell.teachers:
            return None
        families = [self.family(cell.world, config) for config in cell.teachers]
        return teacher_of(families, work.runtime, split.forget, split.validation)

    def _audited_state(self, cell: AuditableCell, work: Work, split: Split, original: State) -> State:
        match cell:
            case UntouchedCell():
                return original
            case RetrainedCell() | UnlearnedCell():
                return self.state(cell)
            case PathwayCell():
                pathway, record = self.pathway(cell), self.record(cell)
                return state_on_pathway(cell, work, split, original, pathway=pathway, record=record)
            case _:
                assert_never(cell)


def _require_converged(record: CellRecord) -> None:
    if record.diverged is not None:
        raise DivergedError(record.diverged)
