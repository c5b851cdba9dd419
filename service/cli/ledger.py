"""Commands about the ledger: list, checkpoint, verify."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.protobuf import json_format
from rich.table import Table

from service.cli.evidence import Keys, tell_results, told_unusable
from service.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    console,
    message_dict,
    print_json,
    told_errors,
    write_output,
)
from service.cli.tickets import CALL_SECONDS
from service.client import Client, connect
from service.domain.ledger import LedgerEntry, LedgerKind
from service.errors import FieldViolation, InvalidRequestError
from service.pb.unlearning.v1 import ledger_pb2
from service.pb.unlearning.v1 import ledger_service_pb2 as pb
from service.rpc.convert.ledger import record_of
from service.signing import load_public_key
from service.verification.ledger import verify_ledger

PAGE = 1000

app = typer.Typer(help="The ledger: who did what when, hash-chained and signed.", no_args_is_help=True)


@app.command("list")
def list_entries(
    subject: Annotated[str | None, typer.Option(help="Only about this ticket, run or model.")] = None,
    kind: Annotated[list[LedgerKind] | None, typer.Option(help="Only this kind; may be given again.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Only entries after this sequence number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="How many, oldest first.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")] = False,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List entries, oldest first; with --json one a line.

    What `--all --json` prints is what `unlearn ledger verify --entries` reads:

        unlearn ledger list --all --json > ledger.jsonl
    """
    request = pb.ListEntriesRequest(
        after_sequence=after,
        subject=subject or "",
        kinds=[ledger_pb2.LedgerEntryKind.Value(f"LEDGER_ENTRY_KIND_{one.name}") for one in kind or []],
    )
    with told_errors(as_json=as_json), connect(address) as client:
        entries: Iterable[ledger_pb2.LedgerEntry] = _entries(client, request, PAGE if everything else min(limit, PAGE))
        shown = entries if everything else itertools.islice(entries, limit)
        if as_json:
            for entry in shown:
                print_json(message_dict(entry))
            return
        table = Table("sequence", "time", "actor", "kind", "subject", "payload", box=None)
        for entry in shown:
            at = entry.event_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
            named = ledger_pb2.LedgerEntryKind.Name(entry.kind).removeprefix("LEDGER_ENTRY_KIND_").lower()
            table.add_row(str(entry.sequence), at, entry.actor, named, entry.subject, entry.payload.decode())
        console.print(table if table.row_count else "No entries.")


@app.command()
def checkpoint(
    number: Annotated[int, typer.Argument(min=0, help="Which one; 0 is the newest.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")] = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Fetch a signed head of the ledger, a DSSE envelope.

    Keep it where the service cannot write: with it, `unlearn ledger verify --checkpoint` finds out later whether what
    it covers was rewritten.
    """
    with told_errors(as_json=False), connect(address) as client:
        request = pb.GetCheckpointRequest(checkpoint_number=number)
        content = client.ledger.GetCheckpoint(request, timeout=CALL_SECONDS).checkpoint.envelope
    write_output(content, output)


@app.command()
def verify(
    entries: Annotated[
        Path | None, typer.Option(help="What `unlearn ledger list --all --json` wrote; else the service is asked.")
    ] = None,
    saved: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="A checkpoint that you kept; may be given again.")
    ] = None,
    key: Keys = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Read the whole ledger, and verify its chain and that the signed checkpoints fit it.

    Without --entries the service is asked for its entries and for every checkpoint that it has. With --entries nothing
    is asked of anybody: the file is held against the checkpoints that you kept.

    Exit code 0: every check passed; 1: a check failed; 2: this is nothing that can be checked.

        unlearn ledger verify --key public.pem

        unlearn ledger verify --entries ledger.jsonl --checkpoint 12.json --key public.pem
    """
    with told_unusable(as_json=as_json):
        envelopes = [file.read_bytes() for file in saved or []]
        keys = [load_public_key(file.read_bytes()) for file in key or []]
        if entries is not None:
            results = verify_ledger(map(record_of, _read(entries)), envelopes, keys)
        else:
            with connect(address) as client:
                envelopes += _checkpoints(client)
                results = verify_ledger(_records(client), envelopes, keys)
    tell_results(results, as_json=as_json)


def _records(client: Client) -> Iterator[LedgerEntry]:
    return map(record_of, _entries(client, pb.ListEntriesRequest(), PAGE))


def _entries(client: Client, request: pb.ListEntriesRequest, size: int) -> Iterator[ledger_pb2.LedgerEntry]:
    request.page_size = size
    while True:
        page = client.ledger.ListEntries(request, timeout=CALL_SECONDS)
        yield from page.entries
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _checkpoints(client: Client) -> list[bytes]:
    """Return every checkpoint that the service has: from the newest down, since their numbers have no gaps."""
    try:
        newest = client.ledger.GetCheckpoint(pb.GetCheckpointRequest(), timeout=CALL_SECONDS).checkpoint
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return []
        raise
    earlier = (
        client.ledger.GetCheckpoint(pb.GetCheckpointRequest(checkpoint_number=number), timeout=CALL_SECONDS)
        for number in range(1, newest.checkpoint_number)
    )
    return [*(answer.checkpoint.envelope for answer in earlier), newest.envelope]


def _read(file: Path) -> Iterator[ledger_pb2.LedgerEntry]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield json_format.Parse(line, ledger_pb2.LedgerEntry())
            except json_format.ParseError as error:
                description = f"line {number} is no entry of a ledger"
                raise InvalidRequestError(FieldViolation(field="entries", description=description)) from error
