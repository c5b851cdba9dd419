from pathlib import Path

import pyarrow.parquet as pq
import pytest

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
from mcu_core.errors import ArchitectureError, DataError
from service.domain.manifest import Split
from service.errors import InvalidRequestError, ManifestError
from service.manifests.build import build_manifest
from service.manifests.images import digits_source
from service.manifests.plan import BuildOptions
from service.worker.connection import (
    ConditionPlan,
    StudyData,
    choose_forgotten,
    connect_files,
    run_condition,
    write_connection,
)
from service.worker.model_store import ModelStore

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
    limits = {Split.TRAIN: 100, Split.HELDOUT: 120}
    build_manifest(digits_source(), path, BuildOptions(heldout_share=0.6, limits=limits))
    return StudyData(manifest=path, architecture=NETWORK, forget=choose_forgotten(path, 0.1, 0))


def ignore(_what: str, _done: int, _total: int) -> None:
    return


def saved(folder: Path, seed: int, network: ArchitectureConfig = NETWORK) -> Path:
    path = folder / f"model{seed}.safetensors"
    checkpoint.save(models.initialise(network, seed), path)
    return path


@pytest.mark.parametrize("condition", list(Condition))
def test_a_condition_is_run_and_goes_on_from_its_store(condition: Condition, data: StudyData, tmp_path: Path) -> None:
    store = ModelStore(folder=tmp_path)
    told: list[str] = []
    first = run_condition(condition, data, PLAN, store, told=lambda what, *_: told.append(what), threads=1)
    assert "training the original" in told
    told.clear()
    again = run_condition(condition, data, PLAN, store, told=lambda what, *_: told.append(what), threads=1)
    assert set(told) == {"connecting"}
    assert (again.first, again.second) == (first.first, first.second)
    assert first.first.digest != first.second.digest
    assert (first.forget_count, first.retain_count) == (10, 90)


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
    other = StudyData(manifest=data.manifest, architecture=NETWORK, forget=(*data.forget, "nobody"))
    with pytest.raises(InvalidRequestError) as refused:
        connect_files(saved(tmp_path, 1), saved(tmp_path, 2), other, CONFIG, seed=0, told=ignore, threads=1)
    assert "1 of 11" in str(refused.value)
    assert "nobody" not in str(refused.value)


def test_a_held_out_sample_cannot_be_forgotten(data: StudyData, tmp_path: Path) -> None:
    table = pq.read_table(data.manifest, columns=["sample_id", "split"]).to_pylist()
    heldout = next(row["sample_id"] for row in table if row["split"] == Split.HELDOUT)
    other = StudyData(manifest=data.manifest, architecture=NETWORK, forget=(heldout,))
    with pytest.raises(DataError, match="training split"):
        connect_files(saved(tmp_path, 1), saved(tmp_path, 2), other, CONFIG, seed=0, told=ignore, threads=1)


def test_weights_of_another_architecture_are_refused(data: StudyData, tmp_path: Path) -> None:
    deeper = NETWORK.model_copy(update={"name": "preresnet14"})
    with pytest.raises(ArchitectureError):
        connect_files(saved(tmp_path, 1), saved(tmp_path, 2, deeper), data, CONFIG, seed=0, told=ignore, threads=1)


def test_a_file_that_is_not_there_is_refused(data: StudyData, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        connect_files(tmp_path / "none", saved(tmp_path, 2), data, CONFIG, seed=0, told=ignore, threads=1)


def test_the_forgotten_share_is_seeded_and_of_the_training_split(data: StudyData) -> None:
    table = pq.read_table(data.manifest, columns=["sample_id", "split"]).to_pylist()
    train = {row["sample_id"] for row in table if row["split"] == Split.TRAIN}
    chosen = choose_forgotten(data.manifest, 0.2, 3)
    assert len(set(chosen)) == 20
    assert set(chosen) <= train
    assert chosen == choose_forgotten(data.manifest, 0.2, 3) != choose_forgotten(data.manifest, 0.2, 4)


@pytest.mark.parametrize("share", [-0.1, 0.0, 0.999, 1.0, 1.5, float("nan")])
def test_a_share_that_forgets_nothing_or_all_is_refused(share: float, data: StudyData) -> None:
    with pytest.raises(InvalidRequestError, match="forget-share"):
        choose_forgotten(data.manifest, share, 0)


def test_data_that_are_no_manifest_are_refused(data: StudyData, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pq.read_table(data.manifest).drop_columns(["label"]), path)
    other = StudyData(manifest=path, architecture=NETWORK, forget=data.forget)
    with pytest.raises(ManifestError, match="no column label"):
        connect_files(saved(tmp_path, 1), saved(tmp_path, 2), other, CONFIG, seed=0, told=ignore, threads=1)
