"""The offline commands: what they print, and the exit code that scripts read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.__main__ import app
from service.adapters.directory_objects import DirectoryObjectStore
from service.adapters.key_file_signer import create_key_file
from service.bundle import read_bundle, write_bundle
from service.domain.release import evidence_key
from service.signing import load_public_key
from tests.bundles import FORGER, SIGNER, WEIGHTS, an_audit, members_of
from tests.unit.service.verification.test_receipt import ENVELOPE, OTHERS, OWN, REPORT

MEMBERS = members_of([an_audit(), an_audit([an_audit()])])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle.zip", MEMBERS)
    (tmp_path / "public.pem").write_text(SIGNER.public_key.pem)
    (tmp_path / "weights").write_bytes(WEIGHTS)
    (tmp_path / "receipt.json").write_bytes(ENVELOPE)
    (tmp_path / "report.json").write_bytes(REPORT)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("UNLEARN_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


VERIFY = ("verify", "bundle.zip", "--key", "public.pem", "--level", "1")


def test_an_honest_bundle_ends_with_zero_and_a_sentence_per_check(run: Callable[..., Result]) -> None:
    done = run(*VERIFY, "--weights", "weights")

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Verified")
    assert done.stdout.count("PASSED") == 14
    assert "The weights are those that were audited." in done.stdout


def test_a_tampered_bundle_ends_with_one_and_names_the_check(run: Callable[..., Result], folder: Path) -> None:
    write_bundle(folder / "bundle.zip", MEMBERS | {"report.html": MEMBERS["report.html"] + b"<p>forgotten</p>"})
    done = run(*VERIFY, "--json")

    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert not answer["passed"]
    failed = [check for check in answer["checks"] if check["outcome"] == "failed"]
    assert [check["check"] for check in failed] == ["digest.members"]
    assert failed[0]["text"] == "report.html is not the one that was signed."


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "missing.zip", "--key", "public.pem"),
        ("verify", "public.pem", "--key", "public.pem"),
        ("verify", "bundle.zip"),
        ("verify", "bundle.zip", "--key", "weights"),
        ("verify", "bundle.zip", "--key", "missing.pem"),
        ("verify", "bundle.zip", "--key", "public.pem", "--level", "3"),
        ("verify", "bundle.zip", "--key", "public.pem", "--level", "4"),
        ("verify", "bundle.zip", "--key", "public.pem", "--level", "2", "--original", "weights"),
        ("verify", "bundle.zip", "--key", "public.pem", "--level", "3", "--original", "missing"),
        ("verify", "bundle.zip", "--key", "public.pem", "--weights", "missing"),
        ("verify-receipt", "report.json", "--report", "report.json", "-s", "x"),
        ("verify-receipt", "missing.json", "--report", "report.json", "-s", "x"),
        ("verify-receipt", "receipt.json", "--report", "report.json", "--file", "missing"),
    ],
)
def test_what_cannot_be_checked_ends_with_two(arguments: tuple[str, ...], run: Callable[..., Result]) -> None:
    done = run(*arguments)

    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert not done.stdout


def test_another_key_is_not_trusted(run: Callable[..., Result], folder: Path) -> None:
    (folder / "public.pem").write_text(FORGER.public_key.pem)

    assert run(*VERIFY).exit_code == 1


def test_a_receipt_is_verified_by_ids_or_by_a_file_of_them(run: Callable[..., Result], folder: Path) -> None:
    (folder / "ids.txt").write_text("\n".join(OWN))
    check = ("verify-receipt", "receipt.json", "--report", "report.json")

    assert run(*check, "-s", OWN[0], "--key", "public.pem").exit_code == 0
    assert run(*check, "--file", "ids.txt").exit_code == 0
    assert run(*check, "-s", OTHERS[0]).exit_code == 1


def test_the_public_key_is_shown_and_is_the_one_that_verifies(run: Callable[..., Result], folder: Path) -> None:
    (folder / "data").mkdir()
    public = create_key_file(folder / "data" / "signing.key").public_key
    done = run("keys", "show")

    assert done.exit_code == 0
    assert load_public_key(done.stdout.encode()).keyid == public.key_id
    assert public.key_id in done.stderr
    assert json.loads(run("keys", "show", "--json").stdout) == {"key_id": public.key_id, "public_key": public.pem}


def test_without_a_key_none_is_made(run: Callable[..., Result], folder: Path) -> None:
    assert run("keys", "show").exit_code == 1
    assert not (folder / "data").exists()


def test_a_published_run_is_packed_as_it_was_written(run: Callable[..., Result], folder: Path) -> None:
    objects = DirectoryObjectStore(folder / "data" / "objects")
    for name, content in MEMBERS.items():
        objects.create(evidence_key("faces", "run-1", name), content)
    objects.create("reports/others/run-2/report.json", b"{}")
    done = run("bundle", "run-1", "--output", "packed.zip")

    assert done.exit_code == 0, done.output
    assert read_bundle(folder / "packed.zip").members == MEMBERS
    assert run("bundle", "run-3", "--output", "none.zip").exit_code == 1
    assert not (folder / "none.zip").exists()
