"""`unlearn references`: on the data directory of a service, with or without one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.__main__ import app
from service.adapters.sql_store import SqlStore, connect_store, sqlite_url
from service.bootstrap import build_objects
from service.data_directory import DATABASE, load_commitment_key
from service.domain.ledger import LedgerKind, verify_chain
from service.domain.release import Release
from service.domain.run import RunPhase
from service.ports import Change
from service.settings import Settings
from tests.families import forgetting
from tests.pictures import put_manifest, tiny_model
from tests.records import LINEAGE, a_run

KILL_SECONDS = 60.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data directory in which a model is registered."""
    monkeypatch.setenv("UNLEARN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("UNLEARN_WORKER_THREADS", "1")
    settings = Settings()
    load_commitment_key(settings)
    model = tiny_model(put_manifest(build_objects(settings), tmp_path))
    save(tmp_path, Change(models=(model, replace(model, lineage="bare", recipe=None)), releases=(forgetting(1, 0),)))
    return tmp_path


def store_of(home: Path) -> SqlStore:
    return connect_store(sqlite_url(home / DATABASE))


def save(home: Path, change: Change) -> None:
    store = store_of(home)
    store.save(change)
    store.close()


def unlearn(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["references", *arguments])
    assert done.exit_code == code, done.output
    return done


def listed(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(unlearn("list", *arguments, "--json").stdout)
    return found


def blobs(home: Path) -> dict[str, str]:
    """Return which bytes each stored reference is, by name."""
    return {path.name: path.readlink().name for path in (home / "objects" / "references").rglob("fold-*")}


@pytest.mark.usefixtures("home")
def test_a_family_is_built_listed_and_kept_until_it_is_tainted() -> None:
    told = json.loads(unlearn("build", LINEAGE, "--folds", "2", "--json").stdout)
    (family,) = listed()
    assert family["family"] == told["family"]
    assert (family["state"], family["purpose"], family["folds"], family["seed"]) == ("ready", "audit", 2, 1)
    assert "0 families" in unlearn("purge").stdout
    assert listed(LINEAGE) == [family]


def test_progress_is_a_line_a_reference_where_nobody_watches(home: Path) -> None:
    done = unlearn("build", LINEAGE, "--folds", "3")
    lines = [line for line in done.stderr.splitlines() if line.startswith("training")]
    assert [line.split(",")[0] for line in lines] == [f"training references: {n} of 3" for n in (1, 2, 3)]
    assert "left" in lines[1]
    assert "0 left out" in done.stdout
    assert (home / "caches").exists() is False


def test_a_release_taints_and_a_tainted_family_can_be_purged_at_once(home: Path) -> None:
    unlearn("build", LINEAGE, "--folds", "2")
    second: Release = forgetting(2)
    save(home, Change(releases=(second,), forgotten=((LINEAGE, 2, (5,)),)))
    (family,) = listed()
    assert (family["state"], family["tainted_by_release"]) == ("tainted", 2)
    assert "1 families" in unlearn("purge", LINEAGE).stdout
    assert listed() == []
    store = store_of(home)
    entries = list(store.ledger())
    store.close()
    assert verify_chain(entries) == 3
    assert [entry.kind for entry in entries] == [
        LedgerKind.REFERENCES_REGISTERED,
        LedgerKind.REFERENCES_TAINTED,
        LedgerKind.REFERENCES_PURGED,
    ]
    assert {entry.actor for entry in entries} == {"operator"}
    built = json.loads(unlearn("build", LINEAGE, "--folds", "2", "--json").stdout)
    assert built["record"]["plan"]["left_out"] == 1


def test_what_an_open_run_uses_is_never_purged(home: Path) -> None:
    name = json.loads(unlearn("build", LINEAGE, "--folds", "2", "--json").stdout)["family"]
    run = a_run()
    spec = run.spec.model_copy(update={"audit_family": name})
    save(home, Change(runs=(replace(run, spec=spec, run_id=spec.run_id, phase=RunPhase.PENDING),)))
    done = unlearn("purge", "--all")
    assert "Kept, since an open run uses it" in done.stderr
    assert len(listed()) == 1


@pytest.mark.usefixtures("home")
def test_with_all_untainted_families_go_as_well() -> None:
    unlearn("build", LINEAGE, "--folds", "2")
    assert "1 families" in unlearn("purge", "--all").stdout
    assert listed() == []


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "nobody"), f"no model is registered as nobody; there are: bare, {LINEAGE}"),
        (("list", "../nobody"), "no model is registered as ../nobody"),
        (("build", "bare"), "no recipe was registered"),
        (("build", LINEAGE, "--folds", "90"), "40 subjects cannot be dealt to 90 folds"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = unlearn(*arguments, code=1)
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_a_wrong_data_directory_is_refused_and_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_DATA_DIR", str(tmp_path))
    assert "UNLEARN_DATA_DIR" in unlearn("list", code=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_the_seed_of_the_other_purpose_is_refused(home: Path) -> None:
    unlearn("build", LINEAGE, "--folds", "2")
    done = unlearn("build", LINEAGE, "--purpose", "teach", "--seed", "1", code=1)
    assert "the same models" in " ".join(done.stderr.split())
    unlearn("build", LINEAGE, "--purpose", "teach", "--folds", "2")
    assert sorted(str(family["purpose"]) for family in listed()) == ["audit", "teach"]


def test_killed_in_the_middle_the_same_command_goes_on_with_what_is_stored(home: Path) -> None:
    arguments = [sys.executable, "-m", "service", "references", "build", LINEAGE, "--folds", "4"]
    process = subprocess.Popen(arguments, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + KILL_SECONDS
    while not blobs(home) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the build ended before it was killed"
    before = blobs(home)
    assert 1 <= len(before) < 4
    assert [family["state"] for family in listed()] == ["unfinished"]

    done = unlearn("build", LINEAGE, "--folds", "4")
    assert f"of {4 - len(before)}" in done.stderr
    after = blobs(home)
    assert len(after) == 4
    assert before.items() <= after.items()
    assert [family["state"] for family in listed()] == ["ready"]
