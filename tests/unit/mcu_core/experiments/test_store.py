import json
from pathlib import Path

import pytest

from mcu_core.config import ReferenceFamilyConfig
from mcu_core.experiments.cells import (
    AuditedCell,
    Cell,
    CellRecord,
    Cost,
    OriginalCell,
    ReferenceCell,
    RetrainedCell,
    UntouchedCell,
    unlearned_of,
)
from mcu_core.experiments.plan import missing
from mcu_core.experiments.store import CellStore
from tests.studies import record_of, tiny_pathway, tiny_sweep

PATHWAY = tiny_pathway()
FAMILY = ReferenceFamilyConfig(folds=2, recipe=PATHWAY.world.recipe, seed=7)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store, record = CellStore(tmp_path), record_of(tiny_pathway())
    store.write(record)
    store.write_weights(record.cell, b"weights")
    assert CellStore(tmp_path).read(record.cell) == record
    assert CellStore(tmp_path).read_weights(record.cell) == b"weights"
    assert store.has_weights(record.cell)


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    store, cell = CellStore(tmp_path / "new"), tiny_pathway()
    assert (store.read(cell), store.read_weights(cell), store.has_weights(cell)) == (None, None, False)


@pytest.mark.parametrize("content", ["", "{}", '{"format": 1', "null"])
def test_a_damaged_record_is_none(tmp_path: Path, content: str) -> None:
    store, record = CellStore(tmp_path), record_of(tiny_pathway())
    store.write(record)
    only_file(tmp_path / "cells").write_text(content)
    assert store.read(record.cell) is None


RETRAINED = RetrainedCell(world=PATHWAY.world, deletion=PATHWAY.deletion)


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        (OriginalCell(world=PATHWAY.world), "train_accuracy"),
        (OriginalCell(world=PATHWAY.world), "epochs"),
        (UntouchedCell(world=PATHWAY.world, deletion=PATHWAY.deletion), "metrics"),
        (RETRAINED, "metrics"),
        (RETRAINED, "costs"),
        (RETRAINED, "epochs"),
        (ReferenceCell(world=PATHWAY.world, family=FAMILY, fold=0), "costs"),
        (unlearned_of(PATHWAY), "metrics"),
        (unlearned_of(PATHWAY), "costs"),
        (PATHWAY, "metrics"),
        (PATHWAY, "costs"),
        (PATHWAY, "chosen"),
        (AuditedCell(of=PATHWAY, family=FAMILY), "calibrated"),
        (tiny_sweep(), "sweep"),
    ],
)
def test_a_record_without_what_is_read_of_it_is_made_again(cell: Cell, part: str, tmp_path: Path) -> None:
    store, record = CellStore(tmp_path), record_of(cell)
    store.write(record)
    assert store.read(cell) == record
    path = only_file(tmp_path / "cells")
    stored = json.loads(path.read_text())
    del stored[part]
    path.write_text(json.dumps(stored))
    assert store.read(cell) is None
    assert cell in missing([cell], store)


def test_a_retraining_that_cost_nothing_is_no_measure_of_costs(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    store.write(record_of(RETRAINED).model_copy(update={"costs": {"retrain": Cost(seconds=1.0, cpu_seconds=0.0)}}))
    assert store.read(RETRAINED) is None


def test_a_divergence_needs_no_numbers(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    record = CellRecord(cell=PATHWAY, diverged="in epoch 1", environment=record_of(PATHWAY).environment)
    store.write(record)
    assert store.read(PATHWAY) == record


def test_a_record_made_with_another_default_is_not_taken(tmp_path: Path) -> None:
    """The digest leaves defaults out, so it stays when one changes; the record holds them all."""
    store, record = CellStore(tmp_path), record_of(tiny_pathway())
    store.write(record)
    path = only_file(tmp_path / "cells")
    stored = json.loads(path.read_text())
    assert stored["cell"]["curve"]["retain_share"] == 0.5
    stored["cell"]["curve"]["retain_share"] = 0.6
    path.write_text(json.dumps(stored))
    assert store.read(record.cell) is None


def test_a_record_from_before_a_setting_was_added_is_taken(tmp_path: Path) -> None:
    store, record = CellStore(tmp_path), record_of(tiny_pathway())
    store.write(record)
    path = only_file(tmp_path / "cells")
    stored = json.loads(path.read_text())
    del stored["cell"]["curve"]["retain_share"]
    path.write_text(json.dumps(stored))
    assert store.read(record.cell) == record


def test_a_record_of_another_format_is_not_taken(tmp_path: Path) -> None:
    store, record = CellStore(tmp_path), record_of(tiny_pathway())
    store.write(record.model_copy(update={"format": 0}))
    assert store.read(record.cell) is None


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, record = CellStore(tmp_path), record_of(tiny_pathway())
    store.write(record)

    def interrupt(_file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write(record.model_copy(update={"diverged": "no"}))
    assert store.read(record.cell) == record
    assert only_file(tmp_path / "cells").suffix == ".json"
