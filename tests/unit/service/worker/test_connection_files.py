from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mcu_core import checkpoint, models
from mcu_core.config import ArchitectureConfig, ConnectionConfig, Precision, TrainConfig
from mcu_core.connection.report import Connection
from mcu_core.errors import ArchitectureError
from service.domain.manifest import Split
from service.errors import InvalidRequestError, ManifestError
from service.manifests.build import build_manifest
from service.manifests.images import digits_source
from service.manifests.plan import BuildOptions
from service.worker.connection import write_connection
from service.worker.connection_files import StudyData, connect_files, connection_digest
from service.worker.model_store import ModelStore

NETWORK = ArchitectureConfig(name="preresnet8", classes=10, channels=1, image_size=8, mean=(0.305,), std=(0.376,))
CONFIG = ConnectionConfig(
    train=TrainConfig(epochs=1, learning_rate=0.01, weight_decay=0.0, batch_size=40),
    points=3,
    batchnorm_images=32,
    retain_images=40,
    test_images=40,
    similarity_images=20,
    precision=Precision.FLOAT32,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    path = tmp_path_factory.mktemp("digits") / "manifest.parquet"
    limits = {Split.TRAIN: 180, Split.HELDOUT: 300}
    build_manifest(digits_source(), path, BuildOptions(heldout_share=0.6, limits=limits))
    return StudyData(manifest=path, network=NETWORK, forget=tuple(ids_of(path, Split.TRAIN)[:10]))


def ids_of(manifest: Path, split: Split) -> list[str]:
    rows = pq.read_table(manifest, columns=["sample_id", "split"]).to_pylist()
    return [row["sample_id"] for row in rows if row["split"] == split]


def ignore(_what: str, _done: int, _total: int) -> None:
    return


def store(folder: Path) -> ModelStore:
    return ModelStore(folder=folder / "store")


def refusal(data: StudyData, folder: Path) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        connect_files(saved(folder, 1), saved(folder, 2), data, CONFIG, store(folder), seed=0, told=ignore, threads=1)
    return str(refused.value)


def saved(folder: Path, seed: int, network: ArchitectureConfig = NETWORK) -> Path:
    path = folder / f"model{seed}.safetensors"
    checkpoint.save(models.initialise(network, seed), path)
    return path


def test_two_files_are_connected_under_their_names(data: StudyData, tmp_path: Path) -> None:
    ends = saved(tmp_path, 1), saved(tmp_path, 2)
    connection = connect_files(*ends, data, CONFIG, store(tmp_path), seed=0, told=ignore, threads=1)
    assert (connection.first.name, connection.second.name) == ("model1", "model2")
    assert connection.first.digest == checkpoint.digest(models.initialise(NETWORK, 1))


def test_what_is_written_can_be_read_back(data: StudyData, tmp_path: Path) -> None:
    connection = connect_files(
        saved(tmp_path, 1), saved(tmp_path, 2), data, CONFIG, store(tmp_path), seed=0, told=ignore, threads=1
    )
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
        *ends,
        replace(data, network=NETWORK.name),
        CONFIG,
        store(tmp_path),
        seed=0,
        told=lambda what, *_: told.append(what),
        threads=1,
    )
    assert told[0] == "decoding samples"
    assert (connection.architecture.classes, connection.architecture.image_size) == (10, 8)
    assert connection.architecture.mean[0] == pytest.approx(NETWORK.mean[0], abs=0.02)


def test_a_forgotten_class_is_measured_apart(data: StudyData, tmp_path: Path) -> None:
    rows = pq.read_table(data.manifest, columns=["sample_id", "split", "label"]).to_pylist()
    forget = tuple(row["sample_id"] for row in rows if row["split"] == Split.TRAIN and row["label"] == 3)
    ends = saved(tmp_path, 1), saved(tmp_path, 2)
    connection = connect_files(
        *ends, replace(data, forget=forget), CONFIG, store(tmp_path), seed=0, told=ignore, threads=1
    )
    assert connection.paths[0].points[0].class_unlearning_accuracy is not None


def test_weights_of_another_architecture_are_refused(data: StudyData, tmp_path: Path) -> None:
    deeper = NETWORK.model_copy(update={"name": "preresnet14"})
    with pytest.raises(ArchitectureError):
        connect_files(
            saved(tmp_path, 1),
            saved(tmp_path, 2, deeper),
            data,
            CONFIG,
            store(tmp_path),
            seed=0,
            told=ignore,
            threads=1,
        )


def test_a_file_that_is_not_there_is_refused(data: StudyData, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        connect_files(
            tmp_path / "none", saved(tmp_path, 2), data, CONFIG, store(tmp_path), seed=0, told=ignore, threads=1
        )


def test_data_that_are_no_manifest_are_refused(data: StudyData, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pq.read_table(data.manifest).drop_columns(["label"]), path)
    other = replace(data, manifest=path)
    with pytest.raises(ManifestError, match="no column label"):
        connect_files(
            saved(tmp_path, 1), saved(tmp_path, 2), other, CONFIG, store(tmp_path), seed=0, told=ignore, threads=1
        )


def test_a_curve_that_was_trained_before_an_interruption_is_not_trained_again(data: StudyData, tmp_path: Path) -> None:
    ends = saved(tmp_path, 1), saved(tmp_path, 2)

    def interrupt(_what: str, _done: int, _total: int) -> None:
        if list((tmp_path / "store").glob("*.sha256")):  # the curve is there, and is being measured
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connect_files(*ends, data, CONFIG, store(tmp_path), seed=0, told=interrupt, threads=1)
    (kept,) = (tmp_path / "store").glob("*.safetensors")
    before = kept.stat().st_mtime_ns
    again = connect_files(*ends, data, CONFIG, store(tmp_path), seed=0, told=ignore, threads=1)
    assert list((tmp_path / "store").glob("*.safetensors")) == [kept]
    assert kept.stat().st_mtime_ns == before
    other = connect_files(*ends, data, CONFIG, ModelStore(folder=tmp_path / "other"), seed=0, told=ignore, threads=1)
    assert [path.points for path in again.paths] == [path.points for path in other.paths]


def test_whatever_a_curve_depends_on_is_another_curve(data: StudyData, tmp_path: Path) -> None:
    first, second = saved(tmp_path, 1), saved(tmp_path, 2)
    longer = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"epochs": 2})})
    steeper = CONFIG.model_copy(update={"beta": 0.5})
    fewer = replace(data, forget=data.forget[:-1])
    other = replace(data, network=NETWORK.model_copy(update={"mean": (0.5,)}))
    studies = (
        ((first, second), data, CONFIG, 0),
        ((second, first), data, CONFIG, 0),
        ((first, second), fewer, CONFIG, 0),
        ((first, second), other, CONFIG, 0),
        ((first, second), data, longer, 0),
        ((first, second), data, steeper, 0),
        ((first, second), data, CONFIG, 1),
    )
    for count, (ends, samples, config, seed) in enumerate(studies, start=1):
        connect_files(*ends, samples, config, store(tmp_path), seed=seed, told=ignore, threads=1)
        assert len(list((tmp_path / "store").glob("*.safetensors"))) == count


def test_studies_of_files_are_told_apart_by_what_they_are_about(data: StudyData, tmp_path: Path) -> None:
    ends = saved(tmp_path, 1), saved(tmp_path, 2)
    connection = connect_files(*ends, data, CONFIG, store(tmp_path), seed=0, told=ignore, threads=1)
    digest = connection_digest(connection, data)
    reordered = replace(data, forget=(*reversed(data.forget), data.forget[0]))
    assert connection_digest(connection, reordered) == digest
    assert connection_digest(connection, replace(data, forget=data.forget[:-1])) != digest
    manifest = tmp_path / "manifest.parquet"
    pq.write_table(pq.read_table(data.manifest).slice(1), manifest)
    assert connection_digest(connection, replace(data, manifest=manifest)) != digest
    turned = connection.model_copy(update={"first": connection.second, "second": connection.first})
    assert connection_digest(turned, data) != digest
