"""What `unlearn bench` refuses before it touches any data."""

import inspect
import json
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mcu_core.whole_files import locked
from service.__main__ import app
from service.cli import bench as command
from service.worker.bench import DEFAULT_MODEL, BenchRequest


def error_of(*arguments: str, store: Path) -> str:
    result = CliRunner().invoke(app, ["bench", *arguments, "--json", "--store", str(store)])
    assert result.exit_code == 1, result.output
    message: str = json.loads(result.stderr.splitlines()[-1])["error"]["message"]
    return message


def test_the_command_s_defaults_are_those_that_keep_the_plain_name() -> None:
    given = inspect.signature(command.bench).parameters
    plain = BenchRequest(artefact="table1")
    own = {field.name: getattr(plain, field.name) for field in fields(plain)}
    assert {name: given[name].default for name in own if name in given and name != "artefact"} == {
        name: value for name, value in own.items() if name not in {"artefact", "is_own_data"}
    }
    assert given["model"].default == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tabel1", "--data", "digits"), "artefact: must be one of"),
        (("table1", "--data", "digits", "--count", "5"), "count: says nothing to table1"),
        (("table1", "--data", "digits", "--hardest"), "hardest: says nothing to table1"),
        (("table1", "--data", "digits", "--folds", "3"), "folds: says nothing to table1"),
        (("table1", "--data", "../digits"), "data: is no name of a data set"),
        (("table1", "--data", "digits", "--seeds", "0,0"), "seeds: must differ"),
        (("table1", "--data", "digits", "--seeds", "9007199254740993"), "seeds: must lie in 0 to"),
        (("table1", "--data", "digits", "--seeds", "1" * 5000), "seeds: must be whole numbers"),
        (("table1", "--data", "digits", "--model", "resnet18"), "there is no architecture 'resnet18'"),
    ],
)
def test_a_wrong_command_is_refused_before_data_are_written(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert message in error_of(*arguments, store=store)
    assert not store.exists()


def test_nothing_is_downloaded_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "DEBIAN_FOLDER", tmp_path / "not installed")
    message = error_of("table1", store=tmp_path / "store")
    assert "--download" in message
    assert "--data digits" in message


def test_a_file_that_is_no_manifest_is_told_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"no Parquet")
    assert "x.parquet is no manifest" in error_of("table1", "--data", str(path), store=tmp_path / "store")


def test_what_a_killed_command_left_is_removed(tmp_path: Path) -> None:
    manifest = tmp_path / "digits.parquet"
    left = tmp_path / f".{manifest.name}-abcdef"
    left.write_bytes(b"half a manifest")
    command._build("digits", manifest, download=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "digits.parquet"]


def test_a_manifest_that_another_command_is_building_is_waited_for(tmp_path: Path) -> None:
    manifest = tmp_path / "digits.parquet"
    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path / ".lock"):
            building = pool.submit(command._build, "digits", manifest, download=False)
            assert wait([building], timeout=0.2).not_done
            manifest.write_bytes(b"by the other one")
        building.result(60)
    assert manifest.read_bytes() == b"by the other one"
