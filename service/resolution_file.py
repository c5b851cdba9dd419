"""The file by which a worker learns which rows to forget, keep and leave out: Parquet with the columns row and part.

Equal resolutions give equal bytes (of one version of pyarrow), so that writing the file again is harmless.
"""

import re
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.resolution import Resolution
from service.errors import DigestMismatchError

_FORGET, _FORGOTTEN_BEFORE, _HELD = "forget", "forgotten_before", "held"
_CANARY_INCLUDED, _CANARY_EXCLUDED = "canary_included", "canary_excluded"
_PARTS = (_FORGET, _FORGOTTEN_BEFORE, _HELD, _CANARY_INCLUDED, _CANARY_EXCLUDED)
_SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("part", pa.string(), nullable=False)])
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COUNT = re.compile(r"[0-9]{1,18}")


def encode(resolution: Resolution) -> bytes:
    """Return the file of a resolution."""
    parts = {
        _FORGET: resolution.forget,
        _FORGOTTEN_BEFORE: resolution.forgotten_before,
        _HELD: resolution.held,
        _CANARY_INCLUDED: resolution.canary_included,
        _CANARY_EXCLUDED: resolution.canary_excluded,
    }
    table = pa.table(
        {
            "row": [row for rows in parts.values() for row in rows],
            "part": [part for part, rows in parts.items() for _ in rows],
        },
        schema=_SCHEMA.with_metadata(
            {"manifest_digest": resolution.manifest_digest, "train_rows": str(resolution.train_rows)}
        ),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode(content: bytes) -> Resolution:
    """Return the resolution of a file; its digest is what binds it to a run, and the caller compares that.

    Raises:
        DigestMismatchError: the bytes are no resolution: truncated, or its parts overlap, are unsorted, or leave
            nothing to forget or to keep.
    """
    try:
        table = pq.read_table(pa.BufferReader(content))
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DigestMismatchError("the resolution is not a Parquet file that can be read") from error
    metadata = table.schema.metadata or {}
    manifest_digest = metadata.get(b"manifest_digest", b"").decode("ascii", "replace")
    train_rows = metadata.get(b"train_rows", b"").decode("ascii", "replace")
    if not table.schema.equals(_SCHEMA) or not _DIGEST.fullmatch(manifest_digest) or not _COUNT.fullmatch(train_rows):
        raise DigestMismatchError("the resolution has other columns or metadata than a resolution has")
    rows: dict[str, list[int]] = {part: [] for part in _PARTS}
    for row, part in zip(table["row"].to_pylist(), table["part"].to_pylist(), strict=True):
        if part not in rows or row is None or row < 0:
            raise DigestMismatchError("the resolution has a row number or a part that no resolution has")
        rows[part].append(row)
    return _checked(
        Resolution(
            manifest_digest=manifest_digest,
            train_rows=int(train_rows),
            forget=tuple(rows[_FORGET]),
            forgotten_before=tuple(rows[_FORGOTTEN_BEFORE]),
            held=tuple(rows[_HELD]),
            canary_included=tuple(rows[_CANARY_INCLUDED]),
            canary_excluded=tuple(rows[_CANARY_EXCLUDED]),
        )
    )


def _checked(resolution: Resolution) -> Resolution:
    parts = (
        *(resolution.forget, resolution.forgotten_before, resolution.held),
        *(resolution.canary_included, resolution.canary_excluded),
    )
    if any(first >= second for part in parts for first, second in pairwise(part)):
        raise DigestMismatchError("the resolution's row numbers are not sorted")
    if len(set().union(*parts)) != sum(len(part) for part in parts):
        raise DigestMismatchError("the parts of the resolution overlap")
    if not resolution.forget or resolution.retain_count <= 0:
        raise DigestMismatchError("the resolution leaves nothing to forget or nothing to keep")
    return resolution
