"""Page sizes and page tokens (AIP-158). A token is opaque and belongs to one list with one set of filters."""

import base64
import binascii
import json
from collections.abc import Sequence

from service.domain.canonical import canonical_bytes, canonical_digest
from service.errors import FieldViolation, InvalidRequestError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

Cursor = tuple[int | str, ...]
"""What identifies the last item of a page."""

_CHECK_CHARACTERS = 16
_MAX_TOKEN_CHARACTERS = 1024


def page_size(asked: int) -> int:
    """Return how many items a page has: 0 is the default, more than the most is the most.

    Raises:
        InvalidRequestError: it is negative.
    """
    if asked < 0:
        raise InvalidRequestError(FieldViolation(field="page_size", description="must not be negative"))
    return min(asked, MAX_PAGE_SIZE) if asked else DEFAULT_PAGE_SIZE


def make_token(cursor: Cursor, scope: Sequence[str]) -> str:
    """Return the token for the page after `cursor`; `scope` names the list, its owner and its filters."""
    document = [*cursor, _check(cursor, scope)]
    return base64.urlsafe_b64encode(canonical_bytes(document)).decode().rstrip("=")


def read_token(token: str, scope: Sequence[str], kinds: tuple[type, ...]) -> Cursor | None:
    """Return a token's cursor, `None` for the first page.

    Args:
        token: from the caller.
        scope: as the token was made with.
        kinds: type of each part of the cursor.

    Raises:
        InvalidRequestError: it is no token, or one of another list or of other filters.
    """
    if not token:
        return None
    violation = FieldViolation(
        field="page_token", description="must be the next_page_token of the same list with the same filters"
    )
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise InvalidRequestError(violation)
    try:
        padded = token + "=" * (-len(token) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequestError(violation) from error
    if not isinstance(document, list) or [type(part) for part in document] != [*kinds, str]:
        raise InvalidRequestError(violation)
    *parts, check = document
    cursor: Cursor = tuple(parts)
    if any(isinstance(part, int) and abs(part) >= 2**53 for part in cursor) or check != _check(cursor, scope):
        raise InvalidRequestError(violation)
    return cursor


def _check(cursor: Cursor, scope: Sequence[str]) -> str:
    return canonical_digest({"cursor": list(cursor), "scope": list(scope)})[:_CHECK_CHARACTERS]
