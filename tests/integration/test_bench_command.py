"""`unlearn bench` on the digits of scikit-learn, with settings that take seconds."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.__main__ import app
from service.cli.bench import left_text

TINY = (
    "--data", "digits", "--model", "preresnet8", "--train-images", "200", "--epochs", "1", "--method-epochs", "1",
    "--curve-epochs", "1", "--threads", "1", "--precision", "float32",
)  # fmt: skip

NAMES = "{}-digits-preresnet8-train-200-seeds-0-epochs-1-method-epochs-1-curve-epochs-1-float32"
FIGURE7 = NAMES.format("figure7").replace("-seeds-0", "")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def bench(*arguments: str, store: Path) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments, "--store", str(store)])


def error_of(result: Result) -> str:
    assert result.exit_code == 1
    message: str = json.loads(result.stderr.splitlines()[-1])["error"]["message"]
    return message


def test_a_table_is_measured_written_and_not_measured_again(store: Path, tmp_path: Path) -> None:
    first = bench("table2", *TINY, "--seeds", "0", "--json", store=store)
    assert first.exit_code == 0, first.stderr
    assert "11 of 11: seed 0, mcu_beta to neggrad_plus" in first.stderr
    told = json.loads(first.stdout)
    assert told["cells_run"] == 11
    assert [Path(path).name for path in told["files"]] == [
        f"{NAMES.format('table2')}.{suffix}" for suffix in ("json", "md")
    ]
    content = Path(told["files"][0]).read_bytes()
    table = json.loads(content)
    assert [row["name"] for row in table["rows"]][-2:] == ["MCU", "MCU_β"]
    assert table["study"]["data"] == "digits"
    assert "| RT |" in Path(told["files"][1]).read_text()
    second = bench("table2", *TINY, "--seeds", "0", "--json", "--out", str(tmp_path), store=store)
    assert json.loads(second.stdout)["cells_run"] == 0
    assert next(tmp_path.glob("*.json")).read_bytes() == content


def test_a_figure_takes_up_the_cells_of_a_table(store: Path) -> None:
    bench("table2", *TINY, "--seeds", "0", store=store)
    result = bench("figure7", *TINY, store=store)
    assert result.exit_code == 0, result.stderr
    assert "Figure 7" in result.stdout
    assert (store / f"{FIGURE7}.svg").read_text().startswith("<?xml")
    assert (store / f"{FIGURE7}.png").is_file()


def test_what_is_written_does_not_depend_on_what_was_found(store: Path, tmp_path: Path) -> None:
    arguments = ("table2", *TINY, "--seeds", "0", "--json")
    bench(*arguments, store=store)
    other = shutil.copytree(store, tmp_path / "store")
    for path in (other / "cells").iterdir():
        record = json.loads(path.read_text())
        match record["cell"]["kind"]:
            case "original":  # was made elsewhere, and must be made again for its weights
                record["environment"]["processor"] = "another one"
                path.write_text(json.dumps(record))
                (other / "weights" / f"{path.stem}.safetensors").unlink()
            case "untouched":
                path.unlink()
    results = []
    for cells in (2, 0):
        told = json.loads(bench(*arguments, store=other).stdout)
        assert told["cells_run"] == cells
        results.append([Path(path).read_bytes() for path in told["files"]])
    assert results[0] == results[1]


def test_samples_are_decoded_once(store: Path) -> None:
    bench("table2", *TINY, "--seeds", "0", store=store)
    (kept,) = (store / "data").glob("*/*.pixels")
    before = kept.stat().st_mtime_ns
    manifest = str(store / "data" / "digits.parquet")
    result = bench("table2", *TINY, "--data", manifest, "--seeds", "0", "--json", store=store)
    assert json.loads(result.stdout)["cells_run"] == 0
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table9",), "artefact: must be one of table1"),
        (("table1", "--precision", "int8"), "precision: must be one of auto"),
        (("table1", "--seeds", "a,b"), "seeds: must be whole numbers"),
        (("figure3", "--seeds", "0,1"), "a figure shows one seed, got 2"),
        (("table3", "--label", "10"), "there is no class 10 among 10"),
        (("table1", "--train-images", "5000"), "take fewer"),
        (("table1", "--data", "nothing"), "dataset: must be one of"),
    ],
)
def test_what_cannot_be_measured_is_told(arguments: tuple[str, ...], message: str, store: Path) -> None:
    assert message in error_of(bench(arguments[0], *TINY, *arguments[1:], "--json", store=store))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (20.0, "less than a minute left"), (600.0, "10 min left"), (7500.0, "2 h 05 min left")],
)
def test_time_left_is_told_in_words(seconds: float | None, text: str) -> None:
    assert left_text(seconds) == text


def test_hard_samples_are_forgotten_and_audited_with_references(store: Path) -> None:
    arguments = ("forgetting", *TINY, "--seeds", "0,1", "--folds", "2", "--count", "12", "--hardest")
    first = bench(*arguments, "--json", store=store)
    assert first.exit_code == 0, first.stderr
    assert "family 303" in first.stderr
    json_file, markdown = (Path(path) for path in json.loads(first.stdout)["files"])
    assert json_file.name.startswith("forgetting-12-hardest-digits-")
    table = json.loads(json_file.read_text())
    assert all(len(row["calibrated_auc"]["values"]) == 2 for row in table["rows"])
    assert "12 hardest samples are forgotten" in markdown.read_text()
    assert json.loads(bench(*arguments, "--json", store=store).stdout)["cells_run"] == 0
