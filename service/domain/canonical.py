"""Canonical JSON (RFC 8785) and its digest: the one way in which records are hashed."""

import hashlib
from typing import Any

import rfc8785
from pydantic import BaseModel


def canonical_bytes(value: Any) -> bytes:
    """Serialise a JSON value so that equal values give equal bytes.

    Source: RFC 8785, JSON Canonicalization Scheme. Integers must lie within ±(2^53 - 1).
    """
    return rfc8785.dumps(value)


def is_canonical(document: BaseModel, data: bytes) -> bool:
    """Return whether these bytes are the canonical JSON of the document that was read from them.

    One with an integer beyond ±(2^53 - 1), which readers round each in its way, has no canonical JSON.
    """
    try:
        return canonical_bytes(document.model_dump(mode="json")) == data
    except ValueError:
        return False


def canonical_digest(value: Any) -> str:
    """Return the SHA-256, hexadecimal, of a JSON value's canonical bytes."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
