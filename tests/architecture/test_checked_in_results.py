"""The tables and figures that are checked in say what the cells beside them say, by today's code."""

import json
from pathlib import Path

import pytest

from mcu_core.experiments.artefacts import Artefact, cells_of, render
from mcu_core.experiments.cells import Cell, CellRecord, PathwayCell, cell_digest, unlearned_of
from mcu_core.experiments.paper import Study
from mcu_core.experiments.store import CellStore

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
CELLS = sorted((RESULTS / "cells").glob("*.json"))
ARTEFACTS = sorted(path for path in RESULTS.glob("*.json") if "artefact" in json.loads(path.read_text()))


def records_of(cells: tuple[Cell, ...]) -> dict[Cell, CellRecord]:
    """Return what is checked in of the cells of an artefact, and of the θ_p of its pathways."""
    store, found = CellStore(RESULTS), {}
    for cell in (*cells, *(unlearned_of(cell) for cell in cells if isinstance(cell, PathwayCell))):
        record = store.read(cell)
        assert record is not None, f"no record of {cell.kind} {cell_digest(cell)}"
        found[cell] = record
    return found


def test_every_cell_is_kept_under_its_own_digest() -> None:
    assert CELLS
    for path in CELLS:
        assert cell_digest(CellRecord.model_validate_json(path.read_bytes()).cell) == path.stem


@pytest.mark.parametrize("path", ARTEFACTS, ids=[path.stem for path in ARTEFACTS])
def test_what_is_checked_in_comes_out_of_the_cells(path: Path) -> None:
    written = json.loads(path.read_text())
    artefact, study = Artefact(written["artefact"]), Study.model_validate(written["study"])
    rendered = render(artefact, study, records_of(cells_of(artefact, study)))
    assert json.loads(json.dumps(rendered.data)) == {name: written[name] for name in rendered.data}
    assert path.with_suffix(".md").read_text() == rendered.markdown
