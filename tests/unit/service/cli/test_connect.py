import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mcu_core import checkpoint, models
from mcu_core.config import ArchitectureConfig
from mcu_core.connection.report import Connection
from service.__main__ import app
from service.demo_data import FASHION_ARCHITECTURE

NETWORK = FASHION_ARCHITECTURE.model_copy(update={"name": "preresnet8"})


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like Fashion-MNIST: 28 x 28 pixels of noise, brighter by class."""
    folder = tmp_path_factory.mktemp("fashion")
    rng = np.random.default_rng(0)
    for name, count in (("train", 200), ("t10k", 150)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = rng.integers(0, 100, (count, 28, 28)) + 15 * labels[:, None, None]
        for kind, magic, shape, content in (
            ("images-idx3", 0x803, pixels.shape, pixels.astype(np.uint8)),
            ("labels-idx1", 0x801, labels.shape, labels),
        ):
            header = struct.pack(f">{1 + len(shape)}I", magic, *shape)
            (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + content.tobytes()))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first of these studies leaves its models for the others."""
    return tmp_path_factory.mktemp("home")


def study(fashion: Path, home: Path, *more: str) -> str:
    options = ["--data", str(fashion), "--store", str(home / "store"), "--out", str(home / "out")]
    options += ["--model", "preresnet8", "--train-images", "100", "--model-epochs", "1", "--unlearn-epochs", "1"]
    options += ["--curve-epochs", "1", "--points", "3", "--threads", "1", *more]
    result = CliRunner().invoke(app, ["connect-study", "seeds", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def spoken(fashion: Path, home: Path) -> str:
    return study(fashion, home, "--json")


@pytest.fixture(scope="module")
def manifest(spoken: str, home: Path) -> Path:
    (path,) = (home / "store").glob("*.parquet")
    return path


def test_a_condition_is_one_command(spoken: str, home: Path) -> None:
    connection = Connection.model_validate(json.loads(spoken)["connection"])
    assert connection.second.name == "NegGrad+, seed 1"
    stored = (home / "out" / "connection-seeds.json").read_text(encoding="utf-8")
    assert Connection.model_validate_json(stored) == connection


def test_people_see_a_table_and_where_the_files_are(fashion: Path, home: Path, spoken: str) -> None:
    text = study(fashion, home)
    assert "CE(D_r)" in text
    assert "connection-seeds.md" in text.replace("\n", "")


def test_two_files_are_connected_by_one_command(manifest: Path, tmp_path: Path) -> None:
    ends = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for seed, path in enumerate(ends):
        checkpoint.save(models.initialise(NETWORK, seed), path)
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(_train_ids(manifest)[:10]), encoding="utf-8")
    result = CliRunner().invoke(app, ["connect", *map(str, ends), *_options(manifest, ids, tmp_path, NETWORK)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "pair.md").read_text(encoding="utf-8").startswith("# a to b")


def test_a_missing_model_is_told_without_a_traceback(manifest: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text(_train_ids(manifest)[0], encoding="utf-8")
    result = CliRunner().invoke(app, ["connect", "none", "none", *_options(manifest, ids, tmp_path, NETWORK)])
    assert result.exit_code == 1
    assert "cannot be read" in result.output


def _train_ids(manifest: Path) -> list[str]:
    rows = pq.read_table(manifest, columns=["sample_id", "split"]).to_pylist()
    return [row["sample_id"] for row in rows if row["split"] == "train"]


def _options(manifest: Path, ids: Path, folder: Path, network: ArchitectureConfig) -> list[str]:
    options = ["--manifest", str(manifest), "--forget", str(ids), "--architecture", network.name, "--name", "pair"]
    options += ["--classes", "10", "--image-size", "28", "--mean", str(network.mean[0]), "--std", str(network.std[0])]
    return [*options, "--out", str(folder / "out"), "--curve-epochs", "1", "--points", "3", "--threads", "1"]
