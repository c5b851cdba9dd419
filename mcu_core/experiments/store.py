"""Where cells are kept: one of the named places of file access in the core.

`cells/<digest>.json` is small and made to be checked in; `weights/<digest>.safetensors` is not: it is made again when a
cell that is still missing needs it.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import assert_never

from pydantic import ValidationError

from mcu_core.experiments.cells import (
    FORMAT,
    AuditedCell,
    Cell,
    CellRecord,
    OriginalCell,
    PathwayCell,
    ReferenceCell,
    RetrainedCell,
    SweepCell,
    UnlearnedCell,
    UntouchedCell,
    cell_digest,
)
from mcu_core.types import Phase
from mcu_core.whole_files import locked, write_whole


class CellStore:
    """A folder of finished cells. Files are complete or not there, whenever the process ends."""

    def __init__(self, folder: Path) -> None:
        self._records = folder / "cells"
        self._weights = folder / "weights"

    def read(self, cell: Cell) -> CellRecord | None:
        """Return a cell's record; `None` where there is none, an incomplete one, or one of other settings or format.

        The digest leaves defaults out, so the record's own settings, which hold all of them, are compared as well.
        """
        path = self._record_path(cell)
        try:
            record = CellRecord.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        is_usable = record.format == FORMAT and record.cell == cell and is_complete(record)
        return record if is_usable else None

    def write(self, record: CellRecord) -> None:
        """Keep a record in place of an older one."""
        write_whole(self._record_path(record.cell), (record.model_dump_json(indent=1) + "\n").encode())

    def read_weights(self, cell: Cell) -> bytes | None:
        """Return a cell's weights where they are kept."""
        try:
            return self._weights_path(cell).read_bytes()
        except FileNotFoundError:
            return None

    def has_weights(self, cell: Cell) -> bool:
        """Return whether a cell's weights are kept."""
        return self._weights_path(cell).is_file()

    def write_weights(self, cell: Cell, content: bytes) -> None:
        """Keep a cell's weights in place of older ones."""
        write_whole(self._weights_path(cell), content)

    def lock(self, cell: Cell) -> AbstractContextManager[None]:
        """Return a lock on the making of a cell: another process that makes it is waited for.

        Whoever makes a cell may wait for the cells that it depends on, never the other way, so no two wait for each
        other.
        """
        return locked(self._weights / f".{cell_digest(cell)}.lock")

    def _record_path(self, cell: Cell) -> Path:
        return self._records / f"{cell_digest(cell)}.json"

    def _weights_path(self, cell: Cell) -> Path:
        return self._weights / f"{cell_digest(cell)}.safetensors"


def is_complete(record: CellRecord) -> bool:  # noqa: PLR0911 - one case a kind
    """Return whether a record holds all that tables and figures read of a cell of its kind, or why there is nothing."""
    if record.diverged is not None:
        return True
    match record.cell:
        case OriginalCell():
            return record.train_accuracy is not None and record.epochs is not None
        case UntouchedCell():
            return record.metrics is not None
        case RetrainedCell():  # what every cost is counted in
            spent = record.cost
            return record.metrics is not None and bool(record.epochs and spent.cpu_seconds and spent.trained)
        case ReferenceCell():
            return Phase.RETRAIN.value in record.costs
        case UnlearnedCell():
            return record.metrics is not None and Phase.PRE_UNLEARN.value in record.costs
        case PathwayCell():
            is_found = record.metrics is not None and record.chosen is not None
            return is_found and Phase.CURVE.value in record.costs
        case AuditedCell():
            return record.calibrated is not None
        case SweepCell():
            return record.sweep is not None
        case _:
            assert_never(record.cell)
