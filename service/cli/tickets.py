"""Commands about tickets: submit, watch, get, list, cancel, extend, report, receipt."""

import uuid
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.cli.output import (
    DEFAULT_ADDRESS,
    EXIT_ERROR,
    EXIT_NOT_SUCCEEDED,
    Address,
    Json,
    console,
    err_console,
    message_dict,
    print_fields,
    print_json,
    told_errors,
    write_output,
)
from service.cli.selections import selection_of
from service.client import Client, connect
from service.domain.deadline import Regime
from service.pb.unlearning.v1 import deletion_service_pb2 as deletion_pb
from service.pb.unlearning.v1 import model_service_pb2 as model_pb
from service.pb.unlearning.v1 import run_pb2 as run_pb
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb

SUBMIT_SECONDS = 60.0
CALL_SECONDS = 15.0
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"]
"""How a time may be written; all are UTC."""


class ReportFormat(StrEnum):
    """How a report is written."""

    JSON = "json"
    HTML = "html"


def submit(
    lineage: Annotated[str, typer.Argument(help="The model, as it was registered.")],
    sample_ids: Annotated[list[str] | None, typer.Argument(help="Sample ids to forget.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read ids from a file, one a line; `-` is standard input.")
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="Instead: a person, as the manifest's subject_id has them; may be repeated."),
    ] = None,
    label: Annotated[int | None, typer.Option(min=0, help="Instead: every training sample of this label.")] = None,
    upload_id: Annotated[
        str | None, typer.Option("--upload", help="Instead: a set that `unlearn upload` sent.")
    ] = None,
    regime: Annotated[Regime, typer.Option(help="Law that sets the deadline.")] = Regime.GDPR,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id of this request: sending it twice makes one ticket.")
    ] = None,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Check and preview; submit nothing.")] = False,
    watch_it: Annotated[bool, typer.Option("--watch", "-w", help="Stay until the ticket is closed.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Ask the service to make a model forget samples.

    Ids come from arguments, from a file, or from standard input:

        unlearn submit fashion train-00017 train-00042

        unlearn submit fashion --file ids.txt --watch

        cut -d, -f1 requests.csv | unlearn submit fashion --file -

    or the samples are those of people, of a label, or of a set that is too large for one message:

        unlearn submit fashion --subject person-7 --subject person-9

        unlearn submit fashion --label 3

        unlearn submit fashion --upload upl-…
    """
    selection = selection_of(sample_ids, file, subject, label, upload_id)
    with told_errors(as_json=as_json), connect(address) as client:
        request = deletion_pb.SubmitTicketRequest(
            request_id=request_id or str(uuid.uuid4()),
            lineage=lineage,
            samples=selection,
            regime=ticket_pb.Regime.Value(f"REGIME_{regime.name}"),
            validate_only=validate_only,
        )
        response = client.deletion.SubmitTicket(request, timeout=SUBMIT_SECONDS)
        if response.HasField("preview"):
            _print_preview(response.preview, as_json=as_json)
            return
        _print_ticket(response.ticket, as_json=as_json)
        if watch_it:
            _watch(client, response.ticket.ticket_id, as_json=as_json)


def watch(
    ticket_id: Annotated[str, typer.Argument(help="The ticket.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Follow a ticket until it is closed or needs a person. Exit code 0: SUCCEEDED; 2: anything else."""
    with told_errors(as_json=as_json), connect(address) as client:
        _watch(client, ticket_id, as_json=as_json)


def get(
    ticket_id: Annotated[str, typer.Argument(help="The ticket.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show a ticket."""
    with told_errors(as_json=as_json), connect(address) as client:
        response = client.deletion.GetTicket(deletion_pb.GetTicketRequest(ticket_id=ticket_id), timeout=CALL_SECONDS)
        _print_ticket(response.ticket, as_json=as_json)


def list_tickets(
    lineage: Annotated[str | None, typer.Option(help="Only tickets of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List tickets, newest first."""
    request = deletion_pb.ListTicketsRequest(page_size=limit, lineage=lineage or "")
    with told_errors(as_json=as_json), connect(address) as client:
        tickets = client.deletion.ListTickets(request, timeout=CALL_SECONDS).tickets
    if as_json:
        print_json([message_dict(ticket) for ticket in tickets])
        return
    table = Table("ticket", "model", "samples", "state", "due", box=None)
    for ticket in tickets:
        due = ticket.due_time.ToDatetime().strftime("%Y-%m-%d")
        table.add_row(ticket.ticket_id, ticket.lineage, str(ticket.sample_count), state_name(ticket), due)
    console.print(table if tickets else "No tickets.")


def cancel(
    ticket_id: Annotated[str, typer.Argument(help="The ticket.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Withdraw a ticket whose run has not started."""
    request = deletion_pb.CancelTicketRequest(request_id=str(uuid.uuid4()), ticket_id=ticket_id)
    with told_errors(as_json=as_json), connect(address) as client:
        _print_ticket(client.deletion.CancelTicket(request, timeout=CALL_SECONDS).ticket, as_json=as_json)


def extend(
    ticket_id: Annotated[str, typer.Argument(help="The ticket.")],
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger. No personal data.")],
    due: Annotated[datetime | None, typer.Option(formats=TIMES, help="New due time, UTC.")] = None,
    paused_from: Annotated[
        datetime | None, typer.Option(formats=TIMES, help="Instead: since when the clock stood still, UTC.")
    ] = None,
    paused_until: Annotated[datetime | None, typer.Option(formats=TIMES, help="And until when.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id of this request: sending it twice extends once.")
    ] = None,
    etag: Annotated[str, typer.Option(help="Refuse unless the ticket still has this etag (see `get --json`).")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Extend a ticket's due time, or record that its clock stood still; either goes into the ledger with its reason.

    GDPR lets the month be extended by up to two further ones, CCPA its 45 days once by up to 45; both only within the
    first period, in which the person must be told. A pause (GDPR only) is recorded when it is over.

        unlearn extend tkt-… --due 2027-01-31 --reason "the references are being trained anew"

        unlearn extend tkt-… --paused-from 2026-12-01 --paused-until 2026-12-04 --reason "identity was in doubt"
    """
    request = deletion_pb.ExtendTicketRequest(
        request_id=request_id or str(uuid.uuid4()), ticket_id=ticket_id, reason=reason, etag=etag
    )
    if due is not None:
        request.due_time.FromDatetime(due)
    if paused_from is not None or paused_until is not None:
        if paused_from is None or paused_until is None:
            raise typer.BadParameter("a pause needs both --paused-from and --paused-until", param_hint="--paused-from")
        request.pause.start_time.FromDatetime(paused_from)
        request.pause.end_time.FromDatetime(paused_until)
    with told_errors(as_json=as_json), connect(address) as client:
        _print_ticket(client.deletion.ExtendTicket(request, timeout=CALL_SECONDS).ticket, as_json=as_json)


def report(
    subject: Annotated[str, typer.Argument(help="A ticket or a run.")],
    report_format: Annotated[ReportFormat, typer.Option("--format", help="What to write.")] = ReportFormat.JSON,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")] = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Fetch the audit report of a run, or of a ticket's run."""
    with told_errors(as_json=False), connect(address) as client:
        run_id = subject
        if subject.startswith("tkt-"):
            ticket = client.deletion.GetTicket(deletion_pb.GetTicketRequest(ticket_id=subject), timeout=CALL_SECONDS)
            run_id = ticket.ticket.run_id
            if not run_id:
                err_console.print("The ticket has no run yet.")
                raise typer.Exit(EXIT_ERROR)
        request = model_pb.GetReportRequest(
            run_id=run_id, format=model_pb.ReportFormat.Value(f"REPORT_FORMAT_{report_format.name}")
        )
        content = client.models.GetReport(request, timeout=CALL_SECONDS).content
    write_output(content, output)


def receipt(
    ticket_id: Annotated[str, typer.Argument(help="The ticket.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")] = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Fetch the signed receipt of a ticket: what was asked and, once it is forgotten, the proof that it was.

    It names no sample; who guesses an id can test it with a receipt, so keep it as you keep the ids. Check it with
    `unlearn verify-receipt`.
    """
    with told_errors(as_json=False), connect(address) as client:
        request = deletion_pb.GetReceiptRequest(ticket_id=ticket_id)
        content = client.deletion.GetReceipt(request, timeout=SUBMIT_SECONDS).envelope
    write_output(content, output)


def state_name(ticket: ticket_pb.Ticket) -> str:
    """Return a ticket's state as people write it."""
    return ticket_pb.TicketState.Name(ticket.state).removeprefix("TICKET_STATE_")


def follow(client: Client, ticket_id: str) -> ticket_pb.Ticket:
    """Draw live progress until a ticket is closed or needs a person, and return it as it is then."""
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    ticket = ticket_pb.Ticket()
    request = deletion_pb.WatchTicketRequest(ticket_id=ticket_id)
    with Progress(*columns, console=err_console, transient=True) as bars:
        task = bars.add_task("waiting", total=None)
        for update in client.deletion.WatchTicket(request):
            ticket = update.ticket
            if update.HasField("progress"):
                done, total = done_of(update.progress)
                bars.update(task, description=describe(update.progress), completed=done, total=total)
            else:
                bars.update(task, description=state_name(ticket).lower(), total=None)
    return ticket


def describe(progress: run_pb.RunProgress) -> str:
    """Return one line that says what a run is doing."""
    rung = run_pb.RungKind.Name(progress.rung_kind).removeprefix("RUNG_KIND_").lower()
    parts = [f"rung {progress.rung_index + 1} ({rung})", progress.activity or "starting"]
    if progress.epoch_count > 1:
        parts.append(f"epoch {min(progress.epoch + 1, progress.epoch_count)} of {progress.epoch_count}")
    return ": ".join(parts)


def done_of(progress: run_pb.RunProgress) -> tuple[int, int | None]:
    """Return how many steps of how many an activity has done; `None` where unknown."""
    total = progress.epoch_count * progress.step_count
    return progress.epoch * progress.step_count + progress.step, total or None


def _watch(client: Client, ticket_id: str, *, as_json: bool) -> None:
    ticket = ticket_pb.Ticket()
    if as_json:
        for update in client.deletion.WatchTicket(deletion_pb.WatchTicketRequest(ticket_id=ticket_id)):
            print_json(message_dict(update))
            ticket = update.ticket
    else:
        ticket = follow(client, ticket_id)
        _print_ticket(ticket, as_json=False)
    if ticket.state != ticket_pb.TICKET_STATE_SUCCEEDED:
        raise typer.Exit(EXIT_NOT_SUCCEEDED)


def _print_ticket(ticket: ticket_pb.Ticket, *, as_json: bool) -> None:
    if as_json:
        print_json(message_dict(ticket))
        return
    rows = [
        ("state", state_name(ticket)),
        ("model", ticket.lineage),
        ("samples", str(ticket.sample_count)),
        ("received", ticket.receive_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("due", ticket.due_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("request id", ticket.request_id),
        ("run", ticket.run_id),
        ("release", str(ticket.release_number or "")),
        *(("reason", f"{reason.code}: {reason.text}") for reason in ticket.reasons),
    ]
    print_fields(f"Ticket {ticket.ticket_id}", rows)


def _print_preview(preview: ticket_pb.TicketPreview, *, as_json: bool) -> None:
    if as_json:
        print_json(message_dict(preview))
        return
    rows = [
        ("samples", str(preview.sample_count)),
        ("forgotten already", str(preview.already_forgotten_count)),
        ("due, if submitted now", preview.due_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("what can be claimed", preview.claim),
    ]
    print_fields("Valid; nothing was submitted", rows)
