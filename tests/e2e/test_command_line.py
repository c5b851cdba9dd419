"""The service as people use it: every command, on a real run."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mcu_core.report import AuditReport, Verdict
from tests.e2e.noisy_digits import ARCHITECTURE, FORGET_COUNT, RECIPE, TRAIN_COUNT, NoisyDigits
from tests.e2e.processes import Server, environment, serving

COMMAND_SECONDS = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("command-line") / "service") as running:
        yield running


def unlearn(server: Server, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=environment(server.home) | {"UNLEARN_ADDRESS": server.grpc},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def registered(server: Server, digits: NoisyDigits) -> dict[str, object]:
    train = RECIPE.train
    options = {
        "--weights": digits.weights,
        "--manifest": digits.manifest,
        "--architecture": ARCHITECTURE.name,
        "--classes": ARCHITECTURE.classes,
        "--image-size": ARCHITECTURE.image_size,
        "--mean": ARCHITECTURE.mean[0],
        "--std": ARCHITECTURE.std[0],
        "--train-accuracy": digits.train_accuracy,
        "--epochs": train.epochs,
        "--learning-rate": train.learning_rate,
        "--batch-size": train.batch_size,
        "--schedule": train.schedule.value,
        "--stop-at": RECIPE.stop_at_train_accuracy,
    }
    arguments = [str(word) for option in options.items() for word in option]
    done = unlearn(server, "model", "register", "cli", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    model: dict[str, object] = json.loads(done.stdout)
    return model


def test_a_registered_model_knows_its_samples(registered: dict[str, object]) -> None:
    manifest = registered["manifest"]
    assert isinstance(manifest, dict)
    assert manifest["train_row_count"] == str(TRAIN_COUNT)


@pytest.mark.usefixtures("registered")
def test_a_preview_submits_nothing(server: Server, digits: NoisyDigits) -> None:
    ids = "\n".join(digits.forget_ids)
    done = unlearn(server, "submit", "cli", "--file", "-", "--validate-only", "--json", stdin=ids)
    assert json.loads(done.stdout)["sample_count"] == str(FORGET_COUNT)
    assert json.loads(unlearn(server, "list", "--json").stdout) == []


@pytest.mark.usefixtures("registered")
def test_unknown_ids_are_named_by_position_only(server: Server, digits: NoisyDigits) -> None:
    done = unlearn(server, "submit", "cli", digits.forget_ids[0], "nobody-knows-me", "--json")
    assert done.returncode == 1
    error = json.loads(done.stderr)["error"]
    assert error["reason"] == "UNKNOWN_SAMPLE_IDS"
    assert "nobody-knows-me" not in done.stderr
    assert "1 of 2" in error["message"]


def test_without_a_service_the_command_says_how_to_start_one(server: Server) -> None:
    done = unlearn(server, "get", "tkt-1", "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "unlearn serve" in done.stderr


@pytest.mark.usefixtures("registered")
def test_two_tickets_at_once_both_succeed_and_no_id_leaves_the_store(server: Server, digits: NoisyDigits) -> None:
    half = len(digits.forget_ids) // 2
    overlapping = (digits.forget_ids[: half + 10], digits.forget_ids[half:])
    tickets = [
        json.loads(unlearn(server, "submit", "cli", "--file", "-", "--json", stdin="\n".join(ids)).stdout)
        for ids in overlapping
    ]

    watched = [unlearn(server, "watch", ticket["ticket_id"]) for ticket in tickets]

    assert [done.returncode for done in watched] == [0, 0], [done.stderr for done in watched]
    closed = [json.loads(unlearn(server, "get", ticket["ticket_id"], "--json").stdout) for ticket in tickets]
    assert {ticket["state"] for ticket in closed} == {"TICKET_STATE_SUCCEEDED"}
    assert {ticket["sla_state"] for ticket in closed} == {"SLA_STATE_MET"}
    releases = json.loads(unlearn(server, "model", "releases", "cli", "--json").stdout)
    assert sum(int(release.get("forget_count", 0)) for release in releases) == FORGET_COUNT
    _assert_report_speaks_of_the_published_bytes(server, closed[0], releases)
    _assert_metrics_tell(server)
    _assert_no_id_outside_the_store(server, digits)
    _assert_no_decoded_image_is_left(server)


def _assert_report_speaks_of_the_published_bytes(
    server: Server, ticket: dict[str, str], releases: list[dict[str, str]]
) -> None:
    report = AuditReport.model_validate_json(unlearn(server, "report", ticket["ticket_id"]).stdout)
    release = next(one for one in releases if one["release_number"] == ticket["release_number"])
    assert report.judgement.verdict is Verdict.ACCEPT_POWERED
    assert report.subjects.candidate == release["weights_sha256"]
    page = unlearn(server, "report", ticket["ticket_id"], "--format", "html").stdout
    assert report.subjects.candidate in page


def _assert_no_decoded_image_is_left(server: Server) -> None:
    (path,) = (server.home / "cache" / "decoded" / "cli").glob("*/*.pixels")
    row_bytes = ARCHITECTURE.channels * ARCHITECTURE.image_size**2
    deadline = time.monotonic() + 10  # the ticket is closed first
    while any(forgotten := path.read_bytes()[: FORGET_COUNT * row_bytes]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(forgotten)
    assert any(path.read_bytes()[FORGET_COUNT * row_bytes :])


def _assert_metrics_tell(server: Server) -> None:
    with urllib.request.urlopen(server.metrics, timeout=10) as response:
        families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
    closed = {
        sample.labels["outcome"]: sample.value
        for sample in families["unlearn_tickets_closed"].samples
        if sample.name.endswith("_total") and sample.value
    }
    assert closed == {"succeeded": 2.0}
    assert any(sample.value for sample in families["unlearn_audit_verdicts"].samples if sample.name.endswith("_total"))
    assert any(sample.value for sample in families["grpc_server_handled"].samples if sample.name.endswith("_total"))


def _assert_no_id_outside_the_store(server: Server, digits: NoisyDigits) -> None:
    ids = [sample_id.encode() for sample_id in digits.train_ids]
    manifests = server.home / "objects"
    for path in server.home.rglob("*"):
        is_store = path.name.startswith("store.db")
        if not path.is_file() or is_store or "manifests" in path.parts or path.suffix == ".parquet":
            continue
        content = path.read_bytes()
        if content[:4] == b"PAR1":
            continue  # the manifest itself, wherever the object store keeps its bytes
        assert not any(sample_id in content for sample_id in ids), path.relative_to(manifests.parent)


def test_a_setting_that_is_no_number_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        env=environment(tmp_path) | {"UNLEARN_PORT": "abc"},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_submission_without_ids_says_how_to_name_them(server: Server) -> None:
    done = unlearn(server, "submit", "cli")
    assert done.returncode == 2
    assert "--file" in done.stderr
