"""Commands about tickets that need more than one call's worth of samples or time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from service.__main__ import app
from service.adapters.memory import FrozenClock
from service.rpc.server import build_server
from service.settings import Settings
from service.telemetry import Metrics
from tests.contract.rpc.memory_application import MemoryApplication
from tests.contract.rpc.records import LINEAGE, NOW, a_model


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    application = MemoryApplication(FrozenClock(NOW))
    application.add_model(a_model())
    settings = Settings(host="127.0.0.1", port=0, drain_seconds=1.0)
    server = build_server(application, settings, Metrics(CollectorRegistry()), FrozenClock(NOW))
    server.start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNLEARN_ADDRESS", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("COLUMNS", "200")
    with capture_logs():  # the server's, which would stand in the command's output
        yield lambda *arguments: CliRunner().invoke(app, list(arguments))
    server.drain()


def submitted(run: Callable[..., Result], *arguments: str) -> dict[str, object]:
    done = run("submit", LINEAGE, *arguments, "--json")
    assert done.exit_code == 0, done.output
    ticket: dict[str, object] = json.loads(done.stdout)
    return ticket


def test_a_large_set_is_uploaded_in_pieces_and_then_submitted(run: Callable[..., Result], tmp_path: Path) -> None:
    # The application knows 1000 samples; what it does not know shows that all pieces came.
    (tmp_path / "ids.txt").write_text("\n".join(f"sample-{number}" for number in range(25_000)))
    upload = json.loads(run("upload", LINEAGE, "--file", "ids.txt", "--json").stdout)
    assert int(upload["sample_count"]) == 25_000

    done = run("submit", LINEAGE, "--upload", upload["upload_id"], "--json")
    assert json.loads(done.stderr)["error"]["details"]["count"] == "24000"


def test_samples_are_named_by_people_or_by_a_label(run: Callable[..., Result]) -> None:
    people = submitted(run, "--subject", "person-1", "--subject", "person-2")
    label = submitted(run, "--label", "3")

    assert (people["source"], people["sample_count"]) == ("SAMPLE_SOURCE_SUBJECTS", "2")
    assert label["source"] == "SAMPLE_SOURCE_LABEL"


@pytest.mark.parametrize("arguments", [(), ("sample-1", "--label", "3"), ("--label", "3", "--subject", "person-1")])
def test_samples_are_named_in_exactly_one_way(run: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    assert run("submit", LINEAGE, *arguments).exit_code == 2


def test_a_ticket_is_extended(run: Callable[..., Result]) -> None:
    ticket = submitted(run, "sample-1")
    arguments = ("extend", str(ticket["ticket_id"]), "--reason", "why", "--etag", str(ticket["etag"]))
    done = run(*arguments, "--due", "2026-12-31", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["due_time"] == "2026-12-31T00:00:00Z"
    assert "ETAG_MISMATCH" in run(*arguments, "--due", "2027-01-02").stderr


def test_a_pause_has_a_begin_and_an_end(run: Callable[..., Result]) -> None:
    ticket = submitted(run, "sample-1")

    assert run("extend", str(ticket["ticket_id"]), "--reason", "why", "--paused-from", "2026-11-22").exit_code == 2
