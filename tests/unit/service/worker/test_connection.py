from pathlib import Path

import pytest
import torch

from mcu_core import checkpoint
from mcu_core.config import (
    ConnectionConfig,
    NegGradPlusConfig,
    Optimiser,
    Precision,
    RandomLabelConfig,
    RetrainConfig,
    TrainConfig,
)
from mcu_core.connection.conditions import Condition
from mcu_core.experiments.cells import OriginalCell, UnlearnedCell
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.setup import RandomShare
from mcu_core.experiments.store import CellStore
from service.domain.manifest import Split
from service.manifests.build import build_manifest
from service.manifests.images import digits_source
from service.manifests.plan import BuildOptions
from service.worker.connection import (
    ConditionPlan,
    run_condition,
)
from service.worker.model_store import ModelStore
from service.worker.research import ResearchData, load_research_data

ONE_EPOCH = TrainConfig(epochs=1, learning_rate=0.01, batch_size=40)
CONFIG = ConnectionConfig(
    train=ONE_EPOCH.model_copy(update={"weight_decay": 0.0}),
    points=3,
    batchnorm_images=32,
    retain_images=40,
    test_images=40,
    similarity_images=20,
    precision=Precision.FLOAT32,
)
PLAN = ConditionPlan(
    data="digits",
    train_images=100,
    deletion=RandomShare(share=0.1),
    recipe=RetrainConfig(train=ONE_EPOCH),
    method=NegGradPlusConfig(train=ONE_EPOCH),
    other=RandomLabelConfig(train=ONE_EPOCH),
    config=CONFIG,
    seed=0,
    first_order=Optimiser.ADAMW,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> ResearchData:
    folder = tmp_path_factory.mktemp("digits")
    limits = {Split.TRAIN: 180, Split.HELDOUT: 300}
    build_manifest(digits_source(), folder / "manifest.parquet", BuildOptions(heldout_share=0.6, limits=limits))
    return load_research_data(folder / "manifest.parquet", "preresnet8", folder)


def ignore(_what: str, _done: int, _total: int) -> None:
    return


@pytest.mark.parametrize("condition", list(Condition))
def test_a_condition_is_run_and_goes_on_from_its_store(
    condition: Condition, loaded: ResearchData, tmp_path: Path
) -> None:
    store = ModelStore(folder=tmp_path)
    told: list[str] = []
    first = run_condition(condition, loaded, PLAN, store, told=lambda what, *_: told.append(what), threads=1)
    assert "training the original" in told
    told.clear()
    again = run_condition(condition, loaded, PLAN, store, told=lambda what, *_: told.append(what), threads=1)
    assert set(told) == {"connecting"}
    assert (again.first, again.second) == (first.first, first.second)
    assert [path.points for path in again.paths] == [path.points for path in first.paths]
    assert first.first.digest != first.second.digest
    assert (first.forget_count, first.retain_count) == (10, 90)


class Interruption:
    """Interrupts after the first step of something."""

    def __init__(self, at: str, occurrence: int = 1) -> None:
        self._at, self._left = at, occurrence
        self.told: list[str] = []

    def __call__(self, what: str, done: int, _total: int) -> None:
        self.told.append(what)
        self._left -= what == self._at and done == 1
        if not self._left:
            raise KeyboardInterrupt


# The straight line, the curve and its points are each told as `connecting`, from a first step on.
@pytest.mark.parametrize(
    ("at", "occurrence", "kept"),
    [
        ("training the original", 1, 0),
        ("unlearning: NegGrad+, seed 1", 1, 2),
        ("connecting", 2, 3),
        ("connecting", 3, 4),
    ],
)
def test_what_was_finished_before_an_interruption_is_not_made_again(
    at: str, occurrence: int, kept: int, loaded: ResearchData, tmp_path: Path
) -> None:
    store = ModelStore(folder=tmp_path)
    interrupted = Interruption(at, occurrence)
    with pytest.raises(KeyboardInterrupt):
        run_condition(Condition.SEEDS, loaded, PLAN, store, told=interrupted, threads=1)
    promises = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.sha256")}
    assert len(promises) == kept
    run_condition(Condition.SEEDS, loaded, PLAN, store, told=ignore, threads=1)
    assert len(list(tmp_path.glob("*.sha256"))) == 4
    assert {path: path.stat().st_mtime_ns for path in promises} == promises


def test_the_original_and_an_end_are_those_of_the_cells_of_equal_settings(loaded: ResearchData, tmp_path: Path) -> None:
    store = CellStore(tmp_path / "cells")
    laboratory = Laboratory(loaded.samples, store, device=torch.device("cpu"))
    world = PLAN.world(loaded)
    cell = UnlearnedCell(world=world, deletion=PLAN.deletion, method=PLAN.method)
    connection = run_condition(
        Condition.SEEDS, loaded, PLAN, ModelStore(folder=tmp_path / "models"), told=ignore, threads=1
    )
    assert connection.first.digest == checkpoint.digest(laboratory.state(cell))
    original = checkpoint.to_bytes(laboratory.state(OriginalCell(world=world)))
    assert original in [path.read_bytes() for path in (tmp_path / "models").glob("*.safetensors")]
