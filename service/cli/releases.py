"""Commands about a model's versions: releases, release, acknowledge, check."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from service.cli.models import digest_of
from service.cli.output import (
    DEFAULT_ADDRESS,
    EXIT_NOT_SUCCEEDED,
    Address,
    Json,
    console,
    message_dict,
    print_fields,
    print_json,
    told_errors,
    write_output,
)
from service.cli.tickets import CALL_SECONDS
from service.client import connect
from service.errors import FieldViolation, InvalidRequestError
from service.pb.unlearning.v1 import model_service_pb2 as service_pb

Lineage = Annotated[str, typer.Argument(help="The model.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", "-w", help="The weights file; only its digest is sent.", dir_okay=False)
]
Digest = Annotated[str | None, typer.Option("--sha256", help="SHA-256 of the weights, in place of the file.")]


def releases(lineage: Lineage, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List a model's published versions, newest first."""
    request = service_pb.ListReleasesRequest(lineage=lineage)
    with told_errors(as_json=as_json), connect(address) as client:
        found = client.models.ListReleases(request, timeout=CALL_SECONDS).releases
    if as_json:
        print_json([message_dict(release) for release in found])
        return
    table = Table("release", "forgot", "published", "weights", box=None)
    for release in found:
        at = release.publish_time.ToDatetime().strftime("%Y-%m-%d %H:%M")
        table.add_row(str(release.release_number), str(release.forget_count), at, release.location)
    console.print(table)


def release(
    lineage: Lineage,
    number: Annotated[int, typer.Argument(min=0, help="Which one; 0 is the current one.")] = 0,
    attestation: Annotated[
        Path | None, typer.Option(help="Write the signed statement about its report to this file.", dir_okay=False)
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show one version, and when the weights of a superseded one go."""
    request = service_pb.GetReleaseRequest(lineage=lineage, release_number=number)
    with told_errors(as_json=as_json), connect(address) as client:
        found = client.models.GetRelease(request, timeout=CALL_SECONDS)
    if attestation is not None:
        write_output(found.attestation, attestation)
    if as_json:
        print_json(message_dict(found))
        return
    purge = found.purge_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC") if found.HasField("purge_time") else ""
    rows = [
        ("standing", "current: serve it" if found.is_current else "superseded: do not serve it"),
        ("weights", found.release.weights_sha256),
        ("lie at", found.release.location),
        ("weights go", purge),
        ("forgot", f"{found.release.forget_count} samples"),
        ("run", found.release.run_id),
        ("tickets", ", ".join(found.release.ticket_ids)),
        ("report", found.release.report_sha256),
        ("published", found.release.publish_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")),
    ]
    print_fields(f"Release {found.release.release_number} of {lineage}", rows)


def acknowledge(
    lineage: Lineage,
    deployment: Annotated[str, typer.Option(help="Name of the serving system, such as `eu-west`.")],
    weights: Weights = None,
    sha256: Digest = None,
    since: Annotated[
        datetime | None, typer.Option(help="Since when it serves them, UTC [default: now].", show_default=False)
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Your own id of this request: sending it twice has no second effect.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Tell the service that a serving system runs these weights now; the last step of a roll-out.

    Tickets of a model that was registered with --require-acknowledgement succeed by it, and stay PUBLISHED until then.
    A system that goes back to an older version is refused: that would bring forgotten samples back.

        unlearn model acknowledge fashion --deployment eu-west --weights /srv/model.safetensors
    """
    at = Timestamp()
    at.FromDatetime((since or datetime.now(UTC)).replace(tzinfo=UTC))
    with told_errors(as_json=as_json), connect(address) as client:
        request = service_pb.AcknowledgeDeploymentRequest(
            request_id=request_id or str(uuid.uuid4()),
            lineage=lineage,
            weights_sha256=_digest(weights, sha256),
            deployment=deployment,
            deploy_time=at,
        )
        response = client.models.AcknowledgeDeployment(request, timeout=CALL_SECONDS)
    if as_json:
        print_json(message_dict(response))
        return
    console.print(f"{deployment} serves release {response.release.release_number} of {lineage}.", highlight=False)
    for ticket_id in response.closed_ticket_ids:
        console.print(f"Succeeded: {ticket_id}", highlight=False)


def check(
    lineage: Lineage,
    release_number: Annotated[int | None, typer.Option("--release", min=1, help="Ask about this version.")] = None,
    weights: Weights = None,
    sha256: Digest = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Ask whether weights may serve, or would bring back what the model has forgotten. Exit code 0: yes; 2: no.

    Ask before you load them, also when you roll back or restore from a copy:

        unlearn model check fashion --weights model.safetensors && systemctl restart classifier
    """
    with told_errors(as_json=as_json), connect(address) as client:
        if release_number is not None and (weights or sha256):
            raise InvalidRequestError(FieldViolation(field="--release", description="give it or weights, not both"))
        request = service_pb.CheckLineageRequest(lineage=lineage)
        if release_number is None:
            request.weights_sha256 = _digest(weights, sha256)
        else:
            request.release_number = release_number
        response = client.models.CheckLineage(request, timeout=CALL_SECONDS)
    if as_json:
        print_json(message_dict(response))
    else:
        decision = service_pb.ServingDecision.Name(response.decision).removeprefix("SERVING_DECISION_")
        console.print(f"{decision}: {response.text}", highlight=False, markup=False)
    if response.decision != service_pb.SERVING_DECISION_ALLOWED:
        raise typer.Exit(EXIT_NOT_SUCCEEDED)


def _digest(weights: Path | None, sha256: str | None) -> str:
    if (weights is None) == (sha256 is None):
        raise InvalidRequestError(FieldViolation(field="weights", description="give either --weights or --sha256"))
    return digest_of(weights) if weights is not None else sha256 or ""
