"""The file that tells a worker its rows."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.canary import CanaryBatch
from service.domain.resolution import Resolution, resolve
from service.errors import DigestMismatchError
from service.resolution_file import decode, encode

DIGEST = "ab" * 32
RESOLUTION = Resolution(manifest_digest=DIGEST, train_rows=10, forget=(1, 5), forgotten_before=(0,), held=(7, 2**40))


@st.composite
def resolutions(draw: st.DrawFn) -> Resolution:
    rows = draw(st.lists(st.integers(0, 2**62), unique=True, min_size=1, max_size=60))
    parts = draw(st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows)))
    by_part = [
        [row for row, part in zip(rows, parts, strict=True) if part == wanted and row != rows[0]] for wanted in range(5)
    ]
    return resolve(
        manifest_digest=DIGEST,
        train_rows=len(rows) + draw(st.integers(1, 10**12)),
        requested=[*by_part[0], rows[0]],
        forgotten_before=by_part[1],
        held=by_part[2],
        canaries=CanaryBatch(included=tuple(by_part[3]), excluded=tuple(by_part[4])),
    )


@given(resolutions())
def test_a_resolution_survives_its_file(resolution: Resolution) -> None:
    decoded = decode(encode(resolution))

    assert decoded == resolution
    assert decoded.digest == resolution.digest


def test_equal_resolutions_give_equal_bytes() -> None:
    assert encode(RESOLUTION) == encode(replace(RESOLUTION))


def test_the_file_is_a_table_of_row_and_part() -> None:
    table = pq.read_table(pa.BufferReader(encode(RESOLUTION)))

    assert table.to_pydict() == {
        "row": [1, 5, 0, 7, 2**40],
        "part": ["forget", "forget", "forgotten_before", "held", "held"],
    }
    assert table.schema.metadata == {b"manifest_digest": DIGEST.encode(), b"train_rows": b"10"}


def test_canaries_are_parts_of_their_own() -> None:
    resolution = replace(RESOLUTION, canary_included=(2, 3), canary_excluded=(11,))
    table = pq.read_table(pa.BufferReader(encode(resolution)))

    assert table["row"].to_pylist()[-3:] == [2, 3, 11]
    assert table["part"].to_pylist()[-3:] == ["canary_included", "canary_included", "canary_excluded"]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RESOLUTION, canary_included=(3, 2)),
        replace(RESOLUTION, canary_included=(1,)),
        replace(RESOLUTION, canary_excluded=(7,)),
        replace(RESOLUTION, canary_included=(2,), canary_excluded=(2,)),
        replace(RESOLUTION, canary_included=(2, 3, 4, 6, 8)),
        replace(RESOLUTION, forget=(5, 1)),
        replace(RESOLUTION, forget=(1, 1)),
        replace(RESOLUTION, forget=(0, 1)),
        replace(RESOLUTION, held=(1,)),
        replace(RESOLUTION, forget=(-1, 1)),
        replace(RESOLUTION, forget=()),
        replace(RESOLUTION, train_rows=5),
        replace(RESOLUTION, train_rows=10**18),
        replace(RESOLUTION, manifest_digest="AB" * 32),
        replace(RESOLUTION, manifest_digest=""),
    ],
)
def test_what_no_resolution_can_be_is_refused(wrong: Resolution) -> None:
    with pytest.raises(DigestMismatchError, match="the resolution"):
        decode(encode(wrong))


@given(st.integers(0, len(encode(RESOLUTION)) - 1))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(DigestMismatchError):
        decode(encode(RESOLUTION)[:length])


@given(st.integers(0, len(encode(RESOLUTION)) - 1), st.integers(1, 255))
def test_a_damaged_file_is_refused_or_has_another_digest_or_the_same_content(position: int, flip: int) -> None:
    content = bytearray(encode(RESOLUTION))
    content[position] ^= flip

    try:
        decoded = decode(bytes(content))
    except DigestMismatchError:
        return
    assert decoded == RESOLUTION or decoded.digest != RESOLUTION.digest


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"row": [1], "part": ["forget"]}),
        pa.table({"row": ["1"], "part": ["forget"]}),
        pa.table({"row": [1]}),
    ],
)
def test_another_table_is_refused(table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"manifest_digest": DIGEST, "train_rows": "10"}), sink)

    with pytest.raises(DigestMismatchError, match="other columns"):
        decode(sink.getvalue().to_pybytes())
