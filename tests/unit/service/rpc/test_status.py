"""The one table of errors."""

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

import service.rpc.errors  # noqa: F401 - its classes must be known before subclasses are walked
from service.errors import (
    FieldViolation,
    InvalidRequestError,
    PermanentError,
    ServiceError,
    TemporaryError,
    UnknownSampleIdsError,
)
from service.rpc.status import ERROR_TABLE, status_of

GROUPS = {TemporaryError, PermanentError}
"""Never raised themselves."""


def _subclasses(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


def test_every_error_of_the_service_has_a_row() -> None:
    ours = {kind for kind in _subclasses(ServiceError) if kind.__module__.startswith("service.")}

    assert ours - GROUPS == set(ERROR_TABLE)


def test_every_reason_is_used_once() -> None:
    reasons = [reason for _, reason in ERROR_TABLE.values()]

    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("reason", [reason for _, reason in ERROR_TABLE.values()])
def test_a_reason_is_upper_snake_case(reason: str) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", reason)


@pytest.mark.parametrize(
    "reason",
    [
        "REQUEST_ID_REUSED",
        "UNKNOWN_LINEAGE",
        "UNKNOWN_SAMPLE_IDS",
        "DUPLICATE_SAMPLE_IDS",
        "EMPTY_FORGET_SET",
        "FORGET_SET_TOO_LARGE",
        "MANIFEST_DIGEST_MISMATCH",
        "TICKET_NOT_CANCELLABLE",
        "ETAG_MISMATCH",
        "SERVER_OVERLOADED",
        "AUDIT_NOT_PASSED",
        "HOLD_ACTIVE",
    ],
)
def test_the_reasons_of_the_contract_exist(reason: str) -> None:
    assert reason in {known for _, known in ERROR_TABLE.values()}


def _largest(kind: type[ServiceError]) -> ServiceError:
    text = "\N{GRINNING FACE}" * 10_000
    if issubclass(kind, InvalidRequestError):
        return kind(*[FieldViolation(field="f" * 70, description="\N{GRINNING FACE}" * 50)] * 100)
    if issubclass(kind, UnknownSampleIdsError):
        return kind(text, positions=tuple(range(10_000, 60_000)))
    return kind(text, lineage=text, ticket_id=text, run_id=text)


@pytest.mark.parametrize("kind", list(ERROR_TABLE), ids=lambda kind: kind.__name__)
def test_the_largest_error_is_small_enough_for_every_client(kind: type[ServiceError]) -> None:
    status = status_of(_largest(kind))
    encoded = len(quote(status.message)) + len(base64.b64encode(status.SerializeToString()))

    assert encoded < 8 * 1024 - 512, "and some room for the names of headers"


def test_a_message_is_cut_between_characters() -> None:
    status = status_of(_largest(next(iter(ERROR_TABLE))))

    assert status.message == "\N{GRINNING FACE}" * 128


def test_all_of_a_hundred_positions_fit() -> None:
    error = UnknownSampleIdsError("wrong", positions=tuple(range(49_900, 50_100)))
    text = status_of(error).SerializeToString().decode(errors="replace")

    assert ",".join(str(position) for position in range(49_900, 50_000)) in text
