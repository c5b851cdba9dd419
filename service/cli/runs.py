"""Commands about runs: list, get, retry, escalate, watch."""

import uuid
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.cli.output import (
    DEFAULT_ADDRESS,
    EXIT_NOT_SUCCEEDED,
    Address,
    Json,
    console,
    err_console,
    message_dict,
    print_fields,
    print_json,
    told_errors,
)
from service.cli.tickets import CALL_SECONDS, describe, done_of
from service.client import Client, connect
from service.domain.run import RunPhase
from service.pb.unlearning.v1 import run_pb2 as run_pb
from service.pb.unlearning.v1 import run_service_pb2 as service_pb

app = typer.Typer(
    help="See the unlearning runs, and decide what becomes of one that needs a person.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

RunId = Annotated[str, typer.Argument(help="The run.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the ledger for good. No personal data.")]
RequestId = Annotated[
    str | None, typer.Option(help="Your own id of this request: sending it twice has no second effect.")
]


@app.command("list")
def list_runs(
    lineage: Annotated[str | None, typer.Option(help="Only runs of this model.")] = None,
    phase: Annotated[list[RunPhase] | None, typer.Option(help="Only runs in this phase; repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List runs, newest first.

    unlearn run list --phase failed
    """
    request = service_pb.ListRunsRequest(
        page_size=limit,
        lineage=lineage or "",
        phases=[run_pb.RunPhase.Value(f"RUN_PHASE_{each.name}") for each in phase or ()],
    )
    with told_errors(as_json=as_json), connect(address) as client:
        runs = client.runs.ListRuns(request, timeout=CALL_SECONDS).runs
    if as_json:
        print_json([message_dict(run) for run in runs])
        return
    table = Table("run", "model", "number", "phase", "rung", "samples", "tickets", "since", box=None)
    for run in runs:
        since = run.phase_start_time.ToDatetime().strftime("%Y-%m-%d %H:%M")
        rung = f"{run.rung_index} ({_rung_names(run)[run.rung_index]})"
        counts = (str(run.forget_count), str(len(run.ticket_ids)))
        table.add_row(run.run_id, run.lineage, str(run.sequence), _phase_name(run), rung, *counts, since)
    console.print(table if runs else "No runs.")


@app.command()
def get(run_id: RunId, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show a run: its ladder, every audited attempt, and what it is doing."""
    with told_errors(as_json=as_json), connect(address) as client:
        response = client.runs.GetRun(service_pb.GetRunRequest(run_id=run_id), timeout=CALL_SECONDS)
    if as_json:
        print_json(message_dict(response))
        return
    _print_run(response.run)
    if response.HasField("progress"):
        console.print(describe(response.progress), highlight=False)


@app.command()
def retry(
    run_id: RunId,
    reason: Reason,
    request_id: RequestId = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Try a failed run once more: its tickets that need attention are scheduled again.

    They open a new run, which begins on the rung on which this one ended (or on the one below it whose pathway that
    rung needs), from the model as it is published then. Look first at what was wrong: `unlearn run get`, and the report
    (`unlearn report`). An audit that said no will say no again, unless the model or its data have changed.

        unlearn run retry run-… --reason "disk replaced"
    """
    request = service_pb.RetryRunRequest(request_id=request_id or str(uuid.uuid4()), run_id=run_id, reason=reason)
    with told_errors(as_json=as_json), connect(address) as client:
        run = client.runs.RetryRun(request, timeout=CALL_SECONDS).run
    _print_ordered(run, "Its tickets are scheduled again.", as_json=as_json)


@app.command()
def escalate(
    run_id: RunId,
    reason: Reason,
    rung: Annotated[
        int | None, typer.Option(min=1, help="Rung to go to, counted from 0 [default: the last one of the ladder].")
    ] = None,
    request_id: RequestId = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Move a run up its ladder, such as to exact retraining when time gets short.

    A run that is at work gives up its present attempt and goes on with that rung. Of a run that has failed the tickets
    are scheduled again, and the run that they open begins there.

        unlearn run escalate run-… --reason "due on Friday"
    """
    with told_errors(as_json=as_json), connect(address) as client:
        last = _last_rung(client, run_id) if rung is None else rung
        request = service_pb.EscalateRunRequest(
            request_id=request_id or str(uuid.uuid4()), run_id=run_id, rung_index=last, reason=reason
        )
        run = client.runs.EscalateRun(request, timeout=CALL_SECONDS).run
    _print_ordered(run, f"It goes on with rung {last}.", as_json=as_json)


@app.command()
def watch(run_id: RunId, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Follow a run until it is closed. Exit code 0: COMMITTED, that is published; 2: anything else."""
    run = run_pb.Run()
    with told_errors(as_json=as_json), connect(address) as client:
        updates = client.runs.WatchRun(service_pb.WatchRunRequest(run_id=run_id))
        if as_json:
            for update in updates:
                print_json(message_dict(update))
                run = update.run
        else:
            columns = (SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn())
            with Progress(*columns, TimeElapsedColumn(), console=err_console, transient=True) as bars:
                task = bars.add_task("waiting", total=None)
                for update in updates:
                    run = update.run
                    if update.HasField("progress"):
                        done, total = done_of(update.progress)
                        text = describe(update.progress) + _left(update.progress)
                        bars.update(task, description=text, completed=done, total=total)
            _print_run(run)
    if run.phase != run_pb.RUN_PHASE_COMMITTED:
        raise typer.Exit(EXIT_NOT_SUCCEEDED)


def _last_rung(client: Client, run_id: str) -> int:
    run = client.runs.GetRun(service_pb.GetRunRequest(run_id=run_id), timeout=CALL_SECONDS).run
    return len(run.ladder) - 1


def _left(progress: run_pb.RunProgress) -> str:
    if not progress.HasField("remaining"):
        return ""
    return f", {progress.remaining.seconds} s left"


def _phase_name(run: run_pb.Run) -> str:
    return run_pb.RunPhase.Name(run.phase).removeprefix("RUN_PHASE_")


def _rung_names(run: run_pb.Run) -> list[str]:
    return [run_pb.RungKind.Name(kind).removeprefix("RUNG_KIND_").lower() for kind in run.ladder]


def _print_ordered(run: run_pb.Run, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(message_dict(run))
        return
    console.print(text, highlight=False)
    _print_run(run)


def _print_run(run: run_pb.Run) -> None:
    attempts = [
        f"{attempt.attempt}: rung {attempt.rung_index}, {run_pb.Verdict.Name(attempt.verdict).removeprefix('VERDICT_')}"
        for attempt in run.audited_attempts
    ]
    ladder = [f"{index} {name}" for index, name in enumerate(_rung_names(run))]
    rows = [
        ("phase", _phase_name(run)),
        ("model", f"{run.lineage}, run {run.sequence}, from release {run.base_release_number}"),
        ("ladder", ", ".join(ladder)),
        ("stands on rung", str(run.rung_index)),
        ("attempt", str(run.attempt)),
        *(("audited attempt", line) for line in attempts),
        ("samples", str(run.forget_count)),
        ("tickets", ", ".join(run.ticket_ids)),
        ("reason", run.reason),
    ]
    print_fields(f"Run {run.run_id}", rows)
