"""Which samples a command is about, and the command that uploads a set of ids."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from service.cli.output import DEFAULT_ADDRESS, Address, Json, message_dict, print_fields, print_json, told_errors
from service.client import connect
from service.pb.unlearning.v1 import deletion_service_pb2 as deletion_pb
from service.pb.unlearning.v1 import sample_selection_pb2 as selection_pb

UPLOAD_SECONDS = 3600.0
IDS_A_MESSAGE = 10_000
"""Of an upload: some 2.5 MB where ids are long."""


def upload(
    lineage: Annotated[str, typer.Argument(help="The model that the ids are meant for.")],
    file: Annotated[Path, typer.Option("--file", "-f", help="Ids, one a line; `-` is standard input.")],
    request_id: Annotated[
        str | None, typer.Option(help="Your own id of this upload: sending the same set twice makes one.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Send a set of sample ids that is too large for one message; `unlearn submit --upload` uses it.

    The service erases it after a day unless a ticket uses it.
    """
    ids = read_ids(file)
    header = deletion_pb.UploadHeader(
        request_id=request_id or str(uuid.uuid4()), lineage=lineage, sample_count=len(ids)
    )
    with told_errors(as_json=as_json), connect(address) as client:
        response = client.deletion.UploadSampleIds(_messages(header, ids), timeout=UPLOAD_SECONDS)
    if as_json:
        print_json(message_dict(response))
        return
    rows = [
        ("samples", str(response.sample_count)),
        ("kept until", response.expire_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")),
    ]
    print_fields(f"Upload {response.upload_id}", rows)


def read_ids(file: Path) -> list[str]:
    """Read ids from a file, one a line; `-` is standard input."""
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}", param_hint="--file") from error
    # Only line feeds separate: an id may hold whatever else looks like a line's end or a space.
    return [line for line in (raw.removesuffix("\r") for raw in text.split("\n")) if line]


def selection_of(
    sample_ids: list[str] | None,
    file: Path | None,
    subjects: list[str] | None,
    label: int | None,
    upload_id: str | None,
) -> selection_pb.SampleSelection:
    """Return what was named; it must have been named in one way."""
    given = [bool(sample_ids) or file is not None, bool(subjects), label is not None, upload_id is not None]
    if sum(given) != 1:
        raise typer.BadParameter(
            "name sample ids (or give --file, `-` reads standard input), or --subject, or --label, or --upload",
            param_hint="SAMPLE_IDS",
        )
    if subjects:
        return selection_pb.SampleSelection(subjects=selection_pb.SubjectIds(subject_ids=subjects))
    if label is not None:
        return selection_pb.SampleSelection(label=label)
    if upload_id is not None:
        return selection_pb.SampleSelection(upload_id=upload_id)
    ids = [*(sample_ids or []), *(read_ids(file) if file else [])]
    return selection_pb.SampleSelection(inline=selection_pb.SampleIds(sample_ids=ids))


def _messages(header: deletion_pb.UploadHeader, ids: list[str]) -> Iterator[deletion_pb.UploadSampleIdsRequest]:
    yield deletion_pb.UploadSampleIdsRequest(header=header)
    for start in range(0, len(ids), IDS_A_MESSAGE):
        chunk = selection_pb.SampleIds(sample_ids=ids[start : start + IDS_A_MESSAGE])
        yield deletion_pb.UploadSampleIdsRequest(chunk=chunk)
