"""Commands about holds: place, release, list."""

import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    console,
    message_dict,
    print_fields,
    print_json,
    told_errors,
)
from service.cli.selections import read_ids
from service.cli.tickets import CALL_SECONDS, SUBMIT_SECONDS
from service.client import connect
from service.pb.unlearning.v1 import hold_pb2, hold_service_pb2
from service.pb.unlearning.v1.sample_selection_pb2 import SampleIds, SampleSelection

app = typer.Typer(
    help="Order that samples must not be deleted for now (litigation, a duty to retain), and end such orders.",
    no_args_is_help=True,
)


class Treatment(StrEnum):
    """What happens to held samples meanwhile."""

    RESTRICT = "restrict"
    RETAIN = "retain"


@app.command()
def place(
    lineage: Annotated[str, typer.Argument(help="The model, as it was registered.")],
    basis: Annotated[
        str, typer.Option("--basis", "-b", help="The order or law that it rests on. Into the ledger: no personal data.")
    ],
    sample_ids: Annotated[list[str] | None, typer.Argument(help="Sample ids to hold.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read ids from a file, one a line; `-` is standard input.")
    ] = None,
    treatment: Annotated[
        Treatment, typer.Option(help="`restrict`: neither forgotten nor trained on; `retain`: still trained on.")
    ] = Treatment.RESTRICT,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id of this order: sending it twice places one hold.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Hold samples: no run forgets them until `unlearn hold release`.

    A deletion request that names them is still taken in and still falls due: it waits (ON_HOLD) for what is held,
    and is served at once for its other samples. A run that was to forget a held sample is given up and formed anew.

        unlearn hold place fashion train-00017 train-00042 --basis "Court order 7 O 12/26"

        unlearn hold place fashion --file ids.txt --basis "HGB § 257" --treatment retain
    """
    if not sample_ids and file is None:
        raise typer.BadParameter("name sample ids, or give --file (`-` reads standard input)", param_hint="SAMPLE_IDS")
    ids = [*(sample_ids or []), *(read_ids(file) if file else [])]
    request = hold_service_pb2.PlaceHoldRequest(
        request_id=request_id or str(uuid.uuid4()),
        lineage=lineage,
        samples=SampleSelection(inline=SampleIds(sample_ids=ids)),
        legal_basis=basis,
        treatment=hold_pb2.HoldTreatment.Value(f"HOLD_TREATMENT_{treatment.name}"),
    )
    with told_errors(as_json=as_json), connect(address) as client:
        _print_hold(client.holds.PlaceHold(request, timeout=SUBMIT_SECONDS).hold, as_json=as_json)


@app.command()
def release(
    hold_id: Annotated[str, typer.Argument(help="The hold (`unlearn hold list`).")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why it ends. Into the ledger: no personal data.")],
    request_id: Annotated[str | None, typer.Option(help="Your own id of this call, to repeat it safely.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """End a hold. Tickets that waited for it go on by themselves, unless another hold names their samples too.

    unlearn hold release hld-4f1c… --reason "Case closed"
    """
    request = hold_service_pb2.ReleaseHoldRequest(
        request_id=request_id or str(uuid.uuid4()), hold_id=hold_id, reason=reason
    )
    with told_errors(as_json=as_json), connect(address) as client:
        _print_hold(client.holds.ReleaseHold(request, timeout=CALL_SECONDS).hold, as_json=as_json)


@app.command("list")
def list_holds(
    lineage: Annotated[str | None, typer.Option(help="Only holds of this model.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List the holds that are active, newest first, with the number of open tickets that wait for each."""
    request = hold_service_pb2.ListHoldsRequest(
        page_size=limit, lineage=lineage or "", states=[] if everything else [hold_pb2.HOLD_STATE_ACTIVE]
    )
    with told_errors(as_json=as_json), connect(address) as client:
        holds = client.holds.ListHolds(request, timeout=CALL_SECONDS).holds
    if as_json:
        print_json([message_dict(hold) for hold in holds])
        return
    table = Table("hold", "model", "samples", "tickets waiting", "state", "placed", "basis", box=None)
    for hold in holds:
        counts = (str(hold.sample_count), str(hold.waiting_ticket_count))
        placed = hold.place_time.ToDatetime().strftime("%Y-%m-%d")
        table.add_row(hold.hold_id, hold.lineage, *counts, _state_name(hold), placed, hold.legal_basis)
    console.print(table if holds else "No holds.")


def _state_name(hold: hold_pb2.Hold) -> str:
    return hold_pb2.HoldState.Name(hold.state).removeprefix("HOLD_STATE_")


def _print_hold(hold: hold_pb2.Hold, *, as_json: bool) -> None:
    if as_json:
        print_json(message_dict(hold))
        return
    released = hold.release_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC") if hold.HasField("release_time") else ""
    rows = [
        ("state", _state_name(hold)),
        ("model", hold.lineage),
        ("samples", str(hold.sample_count)),
        ("meanwhile", hold_pb2.HoldTreatment.Name(hold.treatment).removeprefix("HOLD_TREATMENT_")),
        ("basis", hold.legal_basis),
        ("placed", hold.place_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("released", released),
        ("tickets waiting", str(hold.waiting_ticket_count)),
    ]
    print_fields(f"Hold {hold.hold_id}", rows)
