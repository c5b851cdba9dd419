from pathlib import Path

import pytest

from mcu_core.experiments.cells import Cell, OriginalCell, RetrainedCell, UntouchedCell, dependencies, unlearned_of
from mcu_core.experiments.plan import Stopwatch, expected_images, label_of, missing
from mcu_core.experiments.store import CellStore
from mcu_core.types import Phase, ProgressUpdate
from tests.studies import record_of, tiny_pathway, tiny_sweep

PATHWAY = tiny_pathway()
ORIGINAL = OriginalCell(world=PATHWAY.world)
RETRAINED = RetrainedCell(world=PATHWAY.world, deletion=PATHWAY.deletion)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def at(share: float, phase: Phase = Phase.RETRAIN) -> ProgressUpdate:
    return ProgressUpdate(phase=phase, epoch=0, epochs=1, step=round(share * 100), steps=100)


def keep(store: CellStore, cell: Cell, *, weights: bool) -> None:
    record = record_of(cell)
    store.write(record.model_copy(update={"weights": "0" * 64}))
    if weights:
        store.write_weights(cell, b"some")


def test_what_is_needed_comes_first_and_once(tmp_path: Path) -> None:
    plan = missing([tiny_sweep(), PATHWAY, RETRAINED], CellStore(tmp_path))
    assert len(plan) == len(set(plan)) == 5
    for index, cell in enumerate(plan):
        assert set(dependencies(cell)) <= set(plan[:index])


def test_what_is_kept_is_not_planned(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    keep(store, ORIGINAL, weights=True)
    keep(store, RETRAINED, weights=False)
    assert missing([RETRAINED, PATHWAY], store) == (unlearned_of(PATHWAY), PATHWAY)


def test_lost_weights_are_planned_only_where_something_missing_needs_them(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    for cell in (ORIGINAL, unlearned_of(PATHWAY), PATHWAY):
        keep(store, cell, weights=False)
    assert missing([PATHWAY], store) == ()
    untouched = UntouchedCell(world=PATHWAY.world, deletion=PATHWAY.deletion)
    assert missing([PATHWAY, untouched], store) == (ORIGINAL, untouched)


def test_a_longer_curve_is_expected_to_cost_more() -> None:
    train = PATHWAY.curve.train.model_copy(update={"epochs": 2})
    longer = PATHWAY.model_copy(update={"curve": PATHWAY.curve.model_copy(update={"train": train})})
    assert expected_images(longer) - expected_images(PATHWAY) == pytest.approx(10 + 0.5 * 90)


def test_time_left_goes_by_the_pace_so_far() -> None:
    clock = Clock()
    watch = Stopwatch((ORIGINAL, RETRAINED), clock)
    clock.now += 10.0
    standing = watch(ORIGINAL, at(0.5))
    done, total = 0.5 * expected_images(ORIGINAL), expected_images(ORIGINAL) + expected_images(RETRAINED)
    assert standing.seconds_left == pytest.approx(10.0 * (total - done) / done)
    assert (standing.finished, standing.total) == (0, 2)


def test_nothing_is_said_of_the_time_before_anything_is_done() -> None:
    assert Stopwatch((ORIGINAL,), Clock())(ORIGINAL, at(0.0)).seconds_left is None


def test_a_cell_ends_when_the_next_begins_and_little_is_left_at_the_end() -> None:
    clock = Clock()
    watch = Stopwatch((ORIGINAL, RETRAINED), clock)
    watch(ORIGINAL, at(0.1))  # it ended early: it had memorised its data
    clock.now += 50.0
    standing = watch(RETRAINED, at(1.0))
    assert standing.finished == 1
    assert standing.seconds_left == pytest.approx(0.0)
    assert standing.share_of_cell == pytest.approx(1.0)


def test_a_cell_that_waited_for_lost_weights_is_not_finished() -> None:
    watch = Stopwatch((PATHWAY, ORIGINAL), Clock())
    watch(PATHWAY, at(0.0, Phase.AUDIT))
    watch(ORIGINAL, at(1.0))
    assert watch(PATHWAY, at(0.5, Phase.CURVE)).finished == 1


def test_phases_that_are_no_training_do_not_move_the_share() -> None:
    watch = Stopwatch((PATHWAY,), Clock())
    watch(PATHWAY, at(0.7, Phase.CURVE))
    assert watch(PATHWAY, at(0.1, Phase.SELECT)).share_of_cell == pytest.approx(0.7)


def test_a_label_names_seed_and_method() -> None:
    assert label_of(PATHWAY) == "seed 0, mcu_beta to neggrad_plus"
