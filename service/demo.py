"""`unlearn demo`: the main job on real images, on this machine, from nothing to an audited new model version."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from mcu_core.config import RetrainConfig, Schedule, TrainConfig
from mcu_core.report import AuditReport
from service.bootstrap import build_objects, build_runner
from service.cli.models import REGISTER_SECONDS, canary_message, stage
from service.cli.output import EXIT_ERROR, EXIT_NOT_SUCCEEDED, console, told_errors
from service.cli.tickets import CALL_SECONDS, SUBMIT_SECONDS, follow, state_name
from service.client import Client, connect
from service.data_directory import claim_data_dir
from service.demo_data import CANARY_COUNT, DemoData, build_demo_manifest
from service.demo_summary import explain, measurements_table
from service.domain.release import report_key
from service.domain.run import attempt_prefix
from service.errors import FieldViolation, InvalidRequestError, ServiceRunningError
from service.pb.unlearning.v1 import deletion_service_pb2 as deletion_pb
from service.pb.unlearning.v1 import model_pb2 as model_pb
from service.pb.unlearning.v1 import model_service_pb2 as model_service_pb
from service.pb.unlearning.v1 import run_service_pb2 as run_service_pb
from service.pb.unlearning.v1 import sample_selection_pb2 as selection_pb
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb
from service.ports import ObjectStore
from service.settings import Settings

LINEAGE = "demo"
MARKER = "demo.json"
START_SECONDS = 60.0
DRAIN_SECONDS = 15.0
"""A service that was asked to end needs less."""
FORGET_SHARE = 0.1
ENOUGH_MEMORISED = 0.995
"""Train accuracy from which on there is something to forget."""
RECIPE = RetrainConfig(
    train=TrainConfig(epochs=24, learning_rate=0.1, batch_size=128, schedule=Schedule.COSINE),
    stop_at_train_accuracy=0.9985,
)
"""Memorises 3 000 images without augmentation before its end, in half a minute on two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a second run must know of the first."""

    ticket_id: str
    data: str


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where everything is kept.")] = Path("unlearn-demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over although an earlier run can go on.")] = False,
    seed: Annotated[int, typer.Option(help="Of the data, the training and the choice of what to forget.")] = 1,
) -> None:
    """Run the main job end to end on real images, in about four minutes on two cores.

    Builds a manifest, trains a model until it has memorised its training images, starts the service, registers the
    model, asks for 10 % of the training images to be forgotten, follows the ticket, and shows what the audit measured.
    """
    started = time.monotonic()
    with told_errors(as_json=False):
        marker = None if fresh else _interrupted(folder)
        if marker is None:
            _start_over(folder)
            data, train_accuracy = _prepare(folder, seed)
        else:
            console.print(f"Continuing the demo that was interrupted in {folder} (start over with --fresh).")
        with _serving(folder) as endpoint, connect(endpoint["grpc"]) as client:
            if marker is None:
                _register(client, folder, data, train_accuracy)
                marker = _submit(client, folder, data, seed)
            ticket = follow(client, marker.ticket_id)
            finished = _finished(client, folder, ticket, endpoint["metrics"])
    console.print(f"Done in {time.monotonic() - started:.0f} seconds.")
    if not finished:
        raise typer.Exit(EXIT_NOT_SUCCEEDED)


def _interrupted(folder: Path) -> Marker | None:
    """Return the marker of a demo whose ticket may still be open; a finished one removes its marker."""
    try:
        return Marker(**json.loads((folder / MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _start_over(folder: Path) -> None:
    ours = {"service", "data", MARKER, "metrics.txt"}
    if folder.exists():
        if not folder.is_dir():
            raise InvalidRequestError(FieldViolation(field="--dir", description=f"{folder} is no folder"))
        foreign = {path.name for path in folder.iterdir()} - ours
        if foreign:
            console.print(f"[red]{folder} holds things that are not the demo's[/]: choose another --dir.")
            raise typer.Exit(EXIT_ERROR)
        _end_jobs(folder / "service")
        console.print(f"Starting fresh: what an earlier demo left in {folder} is removed.")
        shutil.rmtree(folder)
    else:
        console.print(f"Starting fresh in {folder}.")
    (folder / "data").mkdir(parents=True)


def _end_jobs(home: Path) -> None:
    """End the jobs that an interrupted demo has left running; refuse while its service runs."""
    if not home.exists():
        return
    _wait_for_claim(home)
    runner = build_runner(Settings(data_dir=home))
    for job in (home / "jobs").glob("*/"):
        runner.cancel(job.name)


def _prepare(folder: Path, seed: int) -> tuple[DemoData, float]:
    # torch is loaded here and nowhere else.
    from service.worker.original import train_original  # noqa: PLC0415

    data = build_demo_manifest(folder / "data", seed=seed)
    console.print(
        f"Data: {data.name} ({data.origin}), {len(data.train_ids)} training images, {data.heldout_count} held out, "
        f"{CANARY_COUNT} canaries, {data.included_count} of them to train on."
    )
    with _bar("training the original model") as update:
        trained = train_original(
            data.manifest,
            data.architecture,
            RECIPE,
            path=folder / "data" / "original.safetensors",
            seed=seed,
            progress=lambda p: update(p.epoch * p.steps + p.step, p.epochs * p.steps),
        )
    console.print(f"Original: {data.architecture.name}, train accuracy {trained.train_accuracy:.2%}.")
    if trained.train_accuracy < ENOUGH_MEMORISED:
        console.print(f"[yellow]It has memorised less than {ENOUGH_MEMORISED:.1%}: there may be little to forget.[/]")
    return data, trained.train_accuracy


@contextmanager
def _serving(folder: Path) -> Iterator[dict[str, str]]:
    """Run `unlearn serve` on free ports until the block ends."""
    home = folder / "service"
    home.mkdir(exist_ok=True)
    _wait_for_claim(home)
    endpoint = home / "endpoint.json"
    endpoint.unlink(missing_ok=True)
    with (home / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", "0", "--metrics-port", "0"],
            env=_service_environment(home),
            stdout=log,
            stderr=log,
        )
    _end_together(process.pid)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not endpoint.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                console.print(f"[red]The service did not start[/]; its log is {home / 'service.log'}")
                raise typer.Exit(EXIT_ERROR)
            time.sleep(0.05)
        addresses: dict[str, str] = json.loads(endpoint.read_text(encoding="utf-8"))
        console.print(f"Service: gRPC on {addresses['grpc']}, log in {home / 'service.log'}.")
        yield addresses
    finally:
        process.terminate()
        process.wait()


def _end_together(service_pid: int) -> None:
    """Let whoever interrupts or ends the demo end its service as well.

    The process ends at once: an exception that a signal raises inside gRPC leaves its locks held for ever.
    """

    def end(signum: int, _: object) -> None:
        os.kill(service_pid, signal.SIGTERM)
        console.show_cursor()
        console.print("\nInterrupted; a job may still finish in the background. Run the demo again to go on.")
        os._exit(128 + signum)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def _wait_for_claim(home: Path) -> None:
    """Wait for the service of an interrupted demo to end; refuse where one keeps running.

    Raises:
        ServiceRunningError: it still runs.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        try:
            claim_data_dir(home).close()
        except ServiceRunningError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _service_environment(home: Path) -> dict[str, str]:
    return os.environ | {"UNLEARN_DATA_DIR": str(home.absolute()), "UNLEARN_RECONCILE_INTERVAL_SECONDS": "0.2"}


def _objects(folder: Path) -> ObjectStore:
    return build_objects(Settings(data_dir=(folder / "service").absolute()))


def _register(client: Client, folder: Path, data: DemoData, train_accuracy: float) -> None:
    weights, manifest = stage(_objects(folder), folder / "data" / "original.safetensors", data.manifest)
    architecture = data.architecture
    request = model_service_pb.RegisterModelRequest(
        request_id=str(uuid.uuid4()),
        lineage=LINEAGE,
        architecture=model_pb.Architecture(**architecture.model_dump()),
        weights_sha256=weights,
        manifest_sha256=manifest,
        recipe=model_pb.TrainingRecipe(
            epochs=RECIPE.train.epochs,
            learning_rate=RECIPE.train.learning_rate,
            momentum=RECIPE.train.momentum,
            weight_decay=RECIPE.train.weight_decay,
            batch_size=RECIPE.train.batch_size,
            schedule=model_pb.LearningRateSchedule.Value(f"LEARNING_RATE_SCHEDULE_{RECIPE.train.schedule.name}"),
            stop_at_train_accuracy=RECIPE.stop_at_train_accuracy,
        ),
        baseline_train_accuracy=train_accuracy,
        canaries=canary_message(data.canaries),
    )
    client.models.RegisterModel(request, timeout=REGISTER_SECONDS)


def _submit(client: Client, folder: Path, data: DemoData, seed: int) -> Marker:
    chosen = random.Random(seed).sample(data.train_ids, round(FORGET_SHARE * len(data.train_ids)))  # noqa: S311
    request = deletion_pb.SubmitTicketRequest(
        request_id=str(uuid.uuid4()),
        lineage=LINEAGE,
        samples=selection_pb.SampleSelection(inline=selection_pb.SampleIds(sample_ids=chosen)),
        regime=ticket_pb.REGIME_GDPR,
    )
    ticket = client.deletion.SubmitTicket(request, timeout=SUBMIT_SECONDS).ticket
    console.print(
        f"Ticket {ticket.ticket_id}: forget {ticket.sample_count} training images ({FORGET_SHARE:.0%}), "
        f"due {ticket.due_time.ToDatetime():%Y-%m-%d}."
    )
    marker = Marker(ticket_id=ticket.ticket_id, data=data.name)
    (folder / MARKER).write_text(json.dumps({"ticket_id": marker.ticket_id, "data": marker.data}), encoding="utf-8")
    return marker


def _finished(client: Client, folder: Path, ticket: ticket_pb.Ticket, metrics_url: str) -> bool:
    """Show what came of the ticket; return whether it succeeded."""
    (folder / MARKER).unlink(missing_ok=True)
    if not ticket.run_id:
        console.print(f"[yellow]Ticket {state_name(ticket)}[/] without a run.")
        return False
    run = client.runs.GetRun(run_service_pb.GetRunRequest(run_id=ticket.run_id), timeout=CALL_SECONDS).run
    objects = _objects(folder)
    reports = [
        AuditReport.model_validate_json(objects.read(f"{attempt_prefix(run.run_id, attempt.attempt)}/report.json"))
        for attempt in run.audited_attempts
    ]
    if reports:
        console.print(measurements_table(reports))
        console.print(
            "D_f: images to forget; D_r: kept; D_t: test. AUC φ: .5 when the images to forget look unseen. MIA: share "
            "of D_f that an attack calls unseen (its distance from really unseen images). gap: to the accuracies to "
            "align with. s: seconds to make the model.",
            style="dim",
        )
        explain(reports)
    succeeded = ticket.state == ticket_pb.TICKET_STATE_SUCCEEDED
    console.print(f"Ticket {state_name(ticket)}." if succeeded else f"[yellow]Ticket {state_name(ticket)}[/]:")
    for reason in ticket.reasons:
        console.print(f"  {reason.code}: {reason.text}", highlight=False)
    with urllib.request.urlopen(metrics_url, timeout=CALL_SECONDS) as response:  # noqa: S310 - our own http address
        (folder / "metrics.txt").write_bytes(response.read())
    if succeeded:
        request = model_service_pb.ListReleasesRequest(lineage=LINEAGE)
        release = client.models.ListReleases(request, timeout=CALL_SECONDS).releases[0]
        console.print(f"  model v{release.release_number}: {release.location}", soft_wrap=True)
        for suffix in ("html", "json"):
            where = objects.locate(report_key(LINEAGE, run.run_id, suffix))
            console.print(f"  report ({suffix.upper()}): {where}", soft_wrap=True)
    console.print(f"  metrics: {folder / 'metrics.txt'}", soft_wrap=True)
    console.print(f"Look around with: UNLEARN_DATA_DIR={folder / 'service'} unlearn serve", soft_wrap=True)
    return succeeded


@contextmanager
def _bar(description: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
