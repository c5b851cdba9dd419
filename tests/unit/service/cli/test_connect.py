import gzip
import json
import re
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.progress import Progress
from typer.testing import CliRunner, Result

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
    for name, count in (("train", 200), ("t10k", 600)):
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
    (path,) = (home / "store" / "data").glob("*.parquet")
    return path


def test_a_condition_is_one_command(spoken: str, home: Path) -> None:
    connection = Connection.model_validate(json.loads(spoken)["connection"])
    assert connection.second.name == "NegGrad+, seed 1"
    (path,) = (home / "out").glob("*.json")
    stored = path.read_text(encoding="utf-8")
    assert Connection.model_validate_json(stored) == connection


def test_people_see_a_table_and_where_the_files_are(fashion: Path, home: Path, spoken: str) -> None:
    text = study(fashion, home)
    assert "CE(D_r)" in text
    (path,) = (home / "out").glob("*.md")
    assert path.name in text.replace("\n", "")


@pytest.fixture
def files(manifest: Path, tmp_path: Path) -> list[str]:
    """What `connect` is told of two models, beside what is not usual."""
    ends = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for seed, path in enumerate(ends):
        checkpoint.save(models.initialise(NETWORK, seed), path)
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(_train_ids(manifest)[:10]), encoding="utf-8")
    return [*map(str, ends), "--forget", str(ids)]


def connect(files: list[str], manifest: Path, folder: Path, *more: str) -> Result:
    options = ["--manifest", str(manifest), "--architecture", NETWORK.name, "--points", "3", "--threads", "1"]
    options += ["--out", str(folder / "out"), "--store", str(folder / "store"), "--curve-epochs", "1"]
    return CliRunner().invoke(app, ["connect", *files, *options, *more])


def test_two_files_are_connected_by_one_command(files: list[str], manifest: Path, tmp_path: Path) -> None:
    network = ["--classes", "10", "--image-size", "28", "--mean", str(NETWORK.mean[0]), "--std", str(NETWORK.std[0])]
    result = connect(files, manifest, tmp_path, *network, "--name", "pair")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "pair.md").read_text(encoding="utf-8").startswith("# a to b")


def test_the_manifest_tells_what_is_not_said_of_the_models(files: list[str], manifest: Path, tmp_path: Path) -> None:
    result = connect(files, manifest, tmp_path)
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out").glob("*.md")
    assert re.fullmatch(r"connection-a-b-[0-9a-f]{16}-curve-epochs-1-points-3\.md", path.name)


def test_another_forget_set_is_another_result(files: list[str], manifest: Path, tmp_path: Path) -> None:
    for count in (10, 9):
        Path(files[-1]).write_text("\n".join(_train_ids(manifest)[:count]), encoding="utf-8")
        assert connect(files, manifest, tmp_path).exit_code == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 2


def test_an_interrupted_command_goes_on_with_the_curve_that_it_has(
    files: list[str], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_bars: Progress, *_arguments: object, **_fields: object) -> None:
        if list((tmp_path / "store").glob("*.sha256")):  # the curve is there, and is being measured
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "update", interrupt)
        result = connect(files, manifest, tmp_path)
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr
    (kept,) = (tmp_path / "store").glob("*.safetensors")
    before = kept.stat().st_mtime_ns
    assert connect(files, manifest, tmp_path).exit_code == 0
    assert [path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*.safetensors")] == [before]


@pytest.mark.parametrize("command", ["connect", "connect-study"])
def test_a_folder_that_takes_no_results_is_told_before_anything_is_trained(
    command: str, files: list[str], manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    if command == "connect":
        result = connect(files, manifest, tmp_path)
    else:
        options = ["--data", str(manifest), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
        result = CliRunner().invoke(app, ["connect-study", "seeds", *options])
    assert result.exit_code == 1
    assert "out" in result.stderr
    assert not (tmp_path / "store").exists()


def test_half_of_a_networks_input_is_refused(manifest: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text(_train_ids(manifest)[0], encoding="utf-8")
    options = ["--manifest", str(manifest), "--forget", str(ids), "--architecture", NETWORK.name, "--classes", "10"]
    result = CliRunner().invoke(app, ["connect", "a", "b", *options, "--json"])
    assert result.exit_code == 1
    assert "--image-size" in json.loads(result.stderr)["error"]["message"]


def test_a_file_without_ids_is_told_by_its_option(manifest: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.touch()
    result = CliRunner().invoke(app, ["connect", "a", "b", *_options(manifest, ids, tmp_path, NETWORK), "--json"])
    assert result.exit_code == 1
    assert "--forget: names no sample" in json.loads(result.stderr)["error"]["message"]


def test_a_manifest_is_studied_as_the_images_it_was_made_of(
    fashion: Path, home: Path, spoken: str, manifest: Path, tmp_path: Path
) -> None:
    found = json.loads(study(manifest, home, "--json", "--out", str(tmp_path / "out")))["connection"]
    assert [found[end]["digest"] for end in ("first", "second")] == [
        json.loads(spoken)["connection"][end]["digest"] for end in ("first", "second")
    ]


def test_a_missing_model_is_told_without_a_traceback(manifest: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text(_train_ids(manifest)[0], encoding="utf-8")
    result = CliRunner().invoke(app, ["connect", "none", "none", *_options(manifest, ids, tmp_path, NETWORK)])
    assert result.exit_code == 1
    assert "cannot be read" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("seeds", "--forget-share", "0"), "must lie between 0 and 1"),
        (("optimiser", "--first-order", "sophia_g"), "compared with itself"),
        (("seeds", "--first-order", "adamw"), "for the condition `optimiser` only"),
        (("curriculum", "--unlearn-epochs", "1"), "one epoch has no curriculum"),
        (("seeds", "--channels", "2"), "must be 1 or 3"),
    ],
)
def test_a_study_that_means_nothing_is_refused_before_data_are_read(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["connect-study", *arguments, "--store", str(tmp_path / "store"), "--json"])
    assert result.exit_code == 1
    assert message in json.loads(result.stderr)["error"]["message"]
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("../evil", "is a name without folders"), ("é" * 101, "has 202 bytes, of 200 that a name may have")],
)
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_read(
    name: str, message: str, tmp_path: Path
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("a", encoding="utf-8")
    options = ["--manifest", "m.parquet", "--forget", str(ids), "--architecture", "preresnet8", "--name", name]
    result = CliRunner().invoke(app, ["connect", "a", "b", *options, "--json"])
    assert result.exit_code == 1
    assert f"--name: {message}" in json.loads(result.stderr)["error"]["message"]


def test_a_network_whose_features_cannot_be_compared_is_refused_before_it_is_trained(
    fashion: Path, home: Path, spoken: str
) -> None:
    models_before = set((home / "store").glob("*.safetensors"))
    options = ["--data", str(fashion), "--store", str(home / "store"), "--model", "torchvision:squeezenet1_1"]
    options += ["--image-size", "32", "--channels", "3", "--train-images", "100", "--threads", "1", "--json"]
    result = CliRunner().invoke(app, ["connect-study", "seeds", *options])
    assert result.exit_code == 1
    assert "no linear layer" in json.loads(result.stderr)["error"]["message"]
    assert set((home / "store").glob("*.safetensors")) == models_before


@pytest.mark.parametrize("share", ["1.5", "-0.1"])
def test_a_share_out_of_range_is_a_wrong_option(share: str) -> None:
    result = CliRunner().invoke(app, ["connect-study", "seeds", "--forget-share", share])
    assert result.exit_code == 2


@pytest.mark.parametrize("arguments", [("connect-study", "seeds"), ("connect", "a", "b")])
def test_a_worker_that_is_not_installed_is_told_without_a_traceback(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "service.worker.connection", None)
    ids = tmp_path / "ids.txt"
    ids.touch()
    options = _options(tmp_path, ids, tmp_path, NETWORK) if arguments[0] == "connect" else []
    result = CliRunner().invoke(app, [*arguments, *options, "--json"])
    assert result.exit_code == 1
    assert "pip install" in json.loads(result.stderr)["error"]["message"]


def test_a_file_that_is_no_manifest_is_told_without_a_traceback(tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("a", encoding="utf-8")
    result = CliRunner().invoke(app, ["connect", "a", "b", *_options(ids, ids, tmp_path, NETWORK)])
    assert result.exit_code == 1
    assert "is no manifest" in result.output


def test_other_images_are_another_study(fashion: Path, home: Path, spoken: str, tmp_path: Path) -> None:
    other = shutil.copytree(fashion, tmp_path / "other")
    labels = other / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    content[8:] = bytes(reversed(content[8:]))
    labels.write_bytes(gzip.compress(bytes(content)))
    files = json.loads(study(other, home, "--json", "--out", str(tmp_path / "out")))["files"]
    assert len(list((home / "store" / "data").glob("*.parquet"))) == 2
    assert {Path(name).name for name in files}.isdisjoint(Path(name).name for name in json.loads(spoken)["files"])


def _train_ids(manifest: Path) -> list[str]:
    rows = pq.read_table(manifest, columns=["sample_id", "split"]).to_pylist()
    return [row["sample_id"] for row in rows if row["split"] == "train"]


def _options(manifest: Path, ids: Path, folder: Path, network: ArchitectureConfig) -> list[str]:
    options = ["--manifest", str(manifest), "--forget", str(ids), "--architecture", network.name, "--name", "pair"]
    options += ["--classes", "10", "--image-size", "28", "--mean", str(network.mean[0]), "--std", str(network.std[0])]
    options += ["--store", str(folder / "store")]
    return [*options, "--out", str(folder / "out"), "--curve-epochs", "1", "--points", "3", "--threads", "1"]
