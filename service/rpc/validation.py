"""Checks on single fields of requests. A description never repeats the value: it may be personal data."""

import re
from collections.abc import Iterable, Iterator, Sequence

from pydantic import ValidationError

from service.errors import FieldViolation, InvalidRequestError

LINEAGE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_INLINE_IDS = 50_000
"""Of one message; more is what uploads are for."""
MAX_ID_CHARACTERS = 256
MAX_REQUEST_ID_CHARACTERS = 128
MAX_NAMED_VIOLATIONS = 16
"""More help nobody, and an answer's metadata has little room."""


def refuse_if_any(*groups: Iterable[FieldViolation]) -> None:
    """Refuse a request that has violations.

    Raises:
        InvalidRequestError: naming the first violations.
    """
    violations = [violation for group in groups for violation in group]
    if violations:
        raise InvalidRequestError(*violations[:MAX_NAMED_VIOLATIONS])


def check_request_id(value: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with a request id."""
    yield from check_text("request_id", value, MAX_REQUEST_ID_CHARACTERS)


def check_lineage(value: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with the name of a lineage."""
    if not LINEAGE.fullmatch(value):
        yield FieldViolation(field="lineage", description=f"must match ^{LINEAGE.pattern}$")


def check_sha256(field: str, value: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with a digest."""
    if not SHA256.fullmatch(value):
        yield FieldViolation(field=field, description="must be a SHA-256: 64 lower-case hexadecimal digits")


def check_text(field: str, value: str, most: int) -> Iterator[FieldViolation]:
    """Yield what is wrong with a short text."""
    if not _is_text(value, most):
        yield FieldViolation(field=field, description=f"must be 1 to {most} printable characters")


def check_fraction(field: str, value: float) -> Iterator[FieldViolation]:
    """Yield what is wrong with a rate; NaN is no rate."""
    if not 0.0 <= value <= 1.0:
        yield FieldViolation(field=field, description="must lie in [0, 1]")


def check_ids(field: str, values: Sequence[str]) -> Iterator[FieldViolation]:
    """Yield what is wrong with a list of ids."""
    if len(values) > MAX_INLINE_IDS:
        yield FieldViolation(field=field, description=f"must be at most {MAX_INLINE_IDS} ids, got {len(values)}")
        return
    wrong = (position for position, value in enumerate(values) if not _is_id(value))
    description = f"must be 1 to {MAX_ID_CHARACTERS} characters without NUL"
    yield from (FieldViolation(field=f"{field}[{position}]", description=description) for position in wrong)


def violations_of(error: ValidationError, message: str, *, flattened: str = "") -> Iterator[FieldViolation]:
    """Yield what pydantic found wrong.

    Args:
        error: of a model that mirrors a message.
        message: the message's field, such as `recipe`.
        flattened: group of the model whose fields stand in the message itself.
    """
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = [message, *(str(part) for part in problem["loc"] if part != flattened)]
        yield FieldViolation(field=".".join(path), description=problem["msg"])


def _is_id(value: str) -> bool:
    # Whatever a manifest may hold must be possible to name: file names have characters that no screen shows.
    return 1 <= len(value) <= MAX_ID_CHARACTERS and "\0" not in value


def _is_text(value: str, most: int) -> bool:
    return 1 <= len(value) <= most and value.isprintable()
