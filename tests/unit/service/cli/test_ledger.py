"""The commands about the ledger, against a server and offline: what they print, and the exit code."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from service.__main__ import app
from service.adapters.memory import FrozenClock, MemorySigner
from service.attestation import attest, checkpoint_statement
from service.checkpoints import open_checkpoint
from service.domain.ledger import LedgerEntry, LedgerKind, chain
from service.rpc.server import build_server
from service.settings import Settings
from service.telemetry import Metrics
from tests.contract.rpc.memory_application import MemoryApplication
from tests.records import NOW, a_draft

SIGNER = MemorySigner(b"s" * 32)
LENGTH = 2100
"""More than two pages."""


def chain_of(length: int) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for number in range(1, length + 1):
        kind = LedgerKind.RELEASED if number % 100 == 0 else LedgerKind.TICKET_CHANGED
        entries.append(chain(replace(a_draft(number), kind=kind), entries[-1] if entries else None))
    return entries


CHAIN = chain_of(LENGTH)


def head(number: int, sequence: int) -> bytes:
    statement = checkpoint_statement(number, sequence=sequence, digest=CHAIN[sequence - 1].digest, attested_at=NOW)
    return attest(statement, SIGNER)


@pytest.fixture
def application() -> MemoryApplication:
    application = MemoryApplication(FrozenClock(NOW))
    application.entries = list(CHAIN)
    application.checkpoints = [open_checkpoint(head(1, 1000)), open_checkpoint(head(2, 2000))]
    return application


@pytest.fixture
def run(
    application: MemoryApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    settings = Settings(host="127.0.0.1", port=0, drain_seconds=1.0)
    server = build_server(application, settings, Metrics(CollectorRegistry()), FrozenClock(NOW))
    server.start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNLEARN_ADDRESS", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("COLUMNS", "250")
    (tmp_path / "public.pem").write_text(SIGNER.public_key.pem)
    with capture_logs():  # the server's, which would stand in the command's output
        yield lambda *arguments: CliRunner().invoke(app, ["ledger", *arguments])
    server.drain()


def test_entries_are_listed_oldest_first_as_many_as_asked(run: Callable[..., Result]) -> None:
    done = run("list", "--after", "4", "--limit", "3", "--json")

    assert done.exit_code == 0, done.output
    assert [int(json.loads(line)["sequence"]) for line in done.stdout.splitlines()] == [5, 6, 7]


def test_entries_are_listed_by_kind_and_subject(run: Callable[..., Result]) -> None:
    done = run("list", "--kind", "released", "--all", "--json")
    assert len(done.stdout.splitlines()) == LENGTH // 100

    table = run("list", "--subject", CHAIN[7].subject)
    assert CHAIN[7].subject in table.stdout
    assert "ticket_changed" in table.stdout
    assert run("list", "--subject", "nobody").stdout == "No entries.\n"


def test_a_ledger_that_fits_its_checkpoints_is_verified(run: Callable[..., Result]) -> None:
    done = run("verify", "--key", "public.pem", "--json")

    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["passed"]
    assert {check["outcome"] for check in answer["checks"]} == {"passed"}


def test_a_ledger_without_checkpoints_is_verified_as_a_chain(
    run: Callable[..., Result], application: MemoryApplication
) -> None:
    application.checkpoints = []

    assert run("verify", "--key", "public.pem").exit_code == 0


def test_a_changed_entry_ends_with_one(run: Callable[..., Result], application: MemoryApplication) -> None:
    application.entries[1500] = replace(application.entries[1500], actor="forger")
    done = run("verify", "--key", "public.pem")

    assert done.exit_code == 1
    assert "FAILED     ledger.chain" in done.stdout


def test_a_saved_ledger_is_verified_against_a_kept_checkpoint_with_no_server(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.jsonl").write_text(run("list", "--all", "--json").stdout)
    assert run("checkpoint", "1", "-o", "kept.json").exit_code == 0
    monkeypatch.setenv("UNLEARN_ADDRESS", "127.0.0.1:1")
    arguments = ("verify", "--entries", "ledger.jsonl", "--checkpoint", "kept.json", "--key", "public.pem")

    assert run(*arguments).exit_code == 0

    lines = (tmp_path / "ledger.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "ledger.jsonl").write_text("".join(lines[:999]))
    done = run(*arguments)
    assert done.exit_code == 1
    assert "which is gone" in done.stdout


def test_what_is_no_ledger_ends_with_two(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text("rubbish\n")

    assert run("verify", "--entries", "ledger.jsonl").exit_code == 2


def test_the_newest_checkpoint_is_the_default(run: Callable[..., Result], tmp_path: Path) -> None:
    run("checkpoint", "-o", "newest.json")

    assert open_checkpoint((tmp_path / "newest.json").read_bytes()).number == 2


def test_a_checkpoint_that_is_not_there_is_told(run: Callable[..., Result]) -> None:
    done = run("checkpoint", "9")

    assert done.exit_code == 1
    assert "UNKNOWN_CHECKPOINT" in done.stderr
