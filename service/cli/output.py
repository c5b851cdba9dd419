"""How commands speak: JSON for machines on standard output, tables for people, errors on standard error."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from mcu_core.errors import CoreError
from service.client import ApiError
from service.errors import FieldViolation, InvalidRequestError, ServiceError

Address = Annotated[
    str, typer.Option("--address", "-a", envvar="UNLEARN_ADDRESS", help="Where the service listens (host:port).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text for people.")]

DEFAULT_ADDRESS = "127.0.0.1:50051"
EXIT_ERROR = 1
EXIT_NOT_SUCCEEDED = 2
"""A watched ticket ended otherwise, or waits for a person."""
EXIT_INTERRUPTED = 130
"""What a shell says of a command that Ctrl-C ended."""

console = Console()
"""Standard output."""
err_console = Console(stderr=True)
"""Standard error: progress and problems, so that standard output stays parseable."""


@contextmanager
def told_errors(*, as_json: bool) -> Iterator[None]:
    """Turn the errors of the service and the core into one clear message and exit code 1."""
    try:
        yield
    except ApiError as error:
        _tell(error.message, error.reason or error.code, error.details, as_json=as_json)
    except ServiceError as error:
        _tell(error.message, type(error).__name__, error.metadata, as_json=as_json)
    except CoreError as error:
        _tell(str(error), type(error).__name__, {}, as_json=as_json)
    except ValidationError as error:
        details = {".".join(map(str, problem["loc"])): problem["msg"] for problem in error.errors(include_url=False)}
        _tell(f"{error.title} cannot be used", "INVALID_SETTINGS", details, as_json=as_json)
    except UnicodeError:
        _tell("an argument is no UTF-8 text", "INVALID_TEXT", {}, as_json=as_json)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _tell(f"{where}{error.strerror or error}", type(error).__name__, {}, as_json=as_json)


@contextmanager
def told_interruption() -> Iterator[None]:
    """Say, where a person interrupts work that goes on from where it was, that it does."""
    try:
        yield
    except KeyboardInterrupt:
        err_console.print("Interrupted. What is finished is kept: the same command goes on from there.")
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def told_missing(command: str) -> Iterator[None]:
    """Say, where a package is missing, which extras of this one bring it."""
    try:
        yield
    except ImportError as error:
        description = f"needs {error.name}: pip install 'unlearning-service[worker,research]'"
        raise InvalidRequestError(FieldViolation(field=command, description=description)) from error


def _tell(message: str, reason: str, details: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(json.dumps({"error": {"reason": reason, "message": message, "details": details}}) + "\n")
    else:
        err_console.print(f"[bold red]Error[/] ({reason}): ", end="", highlight=False)
        err_console.print(message, markup=False, highlight=False)
        for name, value in details.items():
            err_console.print(f"  {name}: {value}", markup=False, highlight=False)
    raise typer.Exit(EXIT_ERROR)


def write_output(content: bytes, output: Path | None) -> None:
    """Write a document to a file, or to standard output where none is given."""
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        err_console.print(f"[bold red]Error[/]: {output} cannot be written: {error.strerror}")
        raise typer.Exit(EXIT_ERROR) from error
    err_console.print(f"Written to {output}")


def print_json(value: object) -> None:
    """Print one JSON value on one line of standard output."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def message_dict(message: Message) -> dict[str, object]:
    """Return a message as JSON with the names of the contract."""
    fields: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    return fields


def print_fields(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values below a title."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, value)
    console.print(table)
