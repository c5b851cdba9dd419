from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mcu_core import checkpoint, models
from mcu_core.config import (
    ArchitectureConfig,
    ConnectionConfig,
    NegGradPlusConfig,
    Optimiser,
    Precision,
    RandomLabelConfig,
    RetrainConfig,
    TrainConfig,
)
from mcu_core.connection.conditions import Condition
from mcu_core.connection.report import Connection
from mcu_core.errors import ArchitectureError
from mcu_core.experiments.cells import OriginalCell, UnlearnedCell
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.setup import RandomShare
from mcu_core.experiments.store import CellStore
from service.domain.manifest import Split
from service.errors import InvalidRequestError, ManifestError
from service.manifests.build import build_manifest
from service.manifests.images import digits_source
from service.manifests.plan import BuildOptions
from service.worker.connection import (
    ConditionPlan,
    StudyData,
    connect_files,
    run_condition,
    write_connection,
)
from service.worker.model_store import ModelStore
from service.worker.research import ResearchData, load_research_data

NETWORK = ArchitectureConfig(name="preresnet8", classes=10, channels=1, image_size=8, mean=(0.305,), std=(0.376,))
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
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    path = tmp_path_factory.mktemp("digits") / "manifest.parquet"
    limits = {Split.TRAIN: 180, Split.HELDOUT: 300}
    build_manifest(digits_source(), path, BuildOptions(heldout_share=0.6, limits=limits))
    return StudyData(manifest=path, network=NETWORK, forget=tuple(ids_of(path, Split.TRAIN)[:10]))


@pytest.fixture(scope="module")
def loaded(data: StudyData, tmp_path_factory: pytest.TempPathFactory) -> ResearchData:
    return load_research_data(data.manifest, NETWORK.name, tmp_path_factory.mktemp("decoded"))


def ids_of(manifest: Path, split: Split) -> list[str]:
    rows = pq.read_table(manifest, columns=["sample_id", "split"]).to_pylist()
    return [row["sample_id"] for row in rows if row["split"] == split]


def ignore(_what: str, _done: int, _total: int) -> None:
    return


def refusal(data: StudyData, folder: Path) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        connect_files(saved(folder, 1), saved(folder, 2), data, CONFIG, seed=0, told=ignore, threads=1)
    return str(refused.value)


def saved(folder: Path, seed: int, network: ArchitectureConfig = NETWORK) -> Path:
    path = folder / f"model{seed}.safetensors"
    checkpoint.save(models.initialise(network, seed), path)
    return path


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


def test_two_files_are_connected_under_their_names(data: StudyData, tmp_path: Path) -> None:
    ends = saved(tmp_path, 1), saved(tmp_path, 2)
    connection = connect_files(*ends, data, CONFIG, seed=0, told=ignore, threads=1)
    assert (connection.first.name, connection.second.name) == ("model1", "model2")
    assert connection.first.digest == checkpoint.digest(models.initialise(NETWORK, 1))


def test_what_is_written_can_be_read_back(data: StudyData, tmp_path: Path) -> None:
    connection = connect_files(saved(tmp_path, 1), saved(tmp_path, 2), data, CONFIG, seed=0, told=ignore, threads=1)
    written = write_connection(connection, tmp_path / "results", "study")
    assert {path.name for path in written} >= {"study.json", "study.md"}
    assert Connection.model_validate_json(written[0].read_text(encoding="utf-8")) == connection
    assert written[1].read_text(encoding="utf-8").startswith("# model1 to model2\n")


def test_an_id_that_is_not_in_the_manifest_is_refused_by_count(data: StudyData, tmp_path: Path) -> None:
    message = refusal(replace(data, forget=(*data.forget, "nobody")), tmp_path)
    assert "--forget" in message
    assert "1 of 11" in message
    assert "nobody" not in message


def test_held_out_samples_cannot_be_forgotten_and_are_counted(data: StudyData, tmp_path: Path) -> None:
    heldout = ids_of(data.manifest, Split.HELDOUT)[:2]
    message = refusal(replace(data, forget=(*data.forget, *heldout)), tmp_path)
    assert "--forget: 2 of 12 samples are not in the training split" in message


def test_forgetting_nothing_or_all_is_refused(data: StudyData, tmp_path: Path) -> None:
    assert "--forget: names no sample" in refusal(replace(data, forget=()), tmp_path)
    everything = replace(data, forget=tuple(ids_of(data.manifest, Split.TRAIN)))
    assert "--forget: names 180 of 180" in refusal(everything, tmp_path)


def test_a_network_that_is_only_named_takes_its_input_from_the_manifest(data: StudyData, tmp_path: Path) -> None:
    told: list[str] = []
    ends = saved(tmp_path, 1), saved(tmp_path, 2)
    connection = connect_files(
        *ends, replace(data, network=NETWORK.name), CONFIG, seed=0, told=lambda what, *_: told.append(what), threads=1
    )
    assert told[0] == "decoding samples"
    assert (connection.architecture.classes, connection.architecture.image_size) == (10, 8)
    assert connection.architecture.mean[0] == pytest.approx(NETWORK.mean[0], abs=0.02)


def test_a_forgotten_class_is_measured_apart(data: StudyData, tmp_path: Path) -> None:
    rows = pq.read_table(data.manifest, columns=["sample_id", "split", "label"]).to_pylist()
    forget = tuple(row["sample_id"] for row in rows if row["split"] == Split.TRAIN and row["label"] == 3)
    ends = saved(tmp_path, 1), saved(tmp_path, 2)
    connection = connect_files(*ends, replace(data, forget=forget), CONFIG, seed=0, told=ignore, threads=1)
    assert connection.paths[0].points[0].class_unlearning_accuracy is not None


def test_weights_of_another_architecture_are_refused(data: StudyData, tmp_path: Path) -> None:
    deeper = NETWORK.model_copy(update={"name": "preresnet14"})
    with pytest.raises(ArchitectureError):
        connect_files(saved(tmp_path, 1), saved(tmp_path, 2, deeper), data, CONFIG, seed=0, told=ignore, threads=1)


def test_a_file_that_is_not_there_is_refused(data: StudyData, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        connect_files(tmp_path / "none", saved(tmp_path, 2), data, CONFIG, seed=0, told=ignore, threads=1)


def test_data_that_are_no_manifest_are_refused(data: StudyData, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pq.read_table(data.manifest).drop_columns(["label"]), path)
    other = replace(data, manifest=path)
    with pytest.raises(ManifestError, match="no column label"):
        connect_files(saved(tmp_path, 1), saved(tmp_path, 2), other, CONFIG, seed=0, told=ignore, threads=1)
