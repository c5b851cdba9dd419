"""Manifests read by DuckDB: what is checked, and that ids find their rows."""

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.adapters.manifest_cache import ManifestCache
from service.adapters.manifest_files import DuckDBManifestSource
from service.adapters.memory import MemoryObjectStore
from service.domain.manifest import Manifest, ResolvedIds
from service.errors import (
    InvalidRequestError,
    ManifestDigestMismatchError,
    ManifestError,
    ObjectMissingError,
    ServerOverloadedError,
)
from service.ports import manifest_key

SECRET = "someone@example.org"
"""An id that no message may contain."""


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def source(objects: MemoryObjectStore, tmp_path: Path) -> DuckDBManifestSource:
    return DuckDBManifestSource(objects, tmp_path / "cache [1]*")


def columns(rows: int = 4) -> dict[str, object]:
    return {
        "sample_id": [f"sample-{row}" for row in range(rows)],
        "split": ["train", "train", "heldout", "train"][:rows],
        "label": [row % 3 for row in range(rows)],
        "image": [b"png"] * rows,
    }


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def training_table(ids: list[str]) -> pa.Table:
    rows = len(ids)
    return pa.table({"sample_id": ids, "split": ["train"] * rows, "label": [0] * rows, "uri": ["u"] * rows})


def put(objects: MemoryObjectStore, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    objects.create(manifest_key(digest), content)
    return digest


def put_table(objects: MemoryObjectStore, changed: dict[str, object], *dropped: str) -> str:
    kept = {name: values for name, values in (columns() | changed).items() if name not in dropped}
    return put(objects, parquet(pa.table(kept)))


def test_a_manifest_is_counted(source: DuckDBManifestSource, objects: MemoryObjectStore) -> None:
    digest = put_table(objects, {})

    assert source.inspect(digest) == Manifest(digest=digest, rows=4, train_rows=3, heldout_rows=1, label_max=2)


def test_canaries_that_were_kept_out_are_counted_apart_and_are_no_training_samples(
    source: DuckDBManifestSource, objects: MemoryObjectStore
) -> None:
    split = ["train", "canary", "heldout", "canary"]
    digest = put_table(objects, {"split": split, "sample_id": ["a", "b", "c", "d"]})
    counted = source.inspect(digest)

    assert (counted.train_rows, counted.heldout_rows, counted.canary_rows) == (1, 1, 2)
    assert source.resolve(digest, ["d", "a", "c", "b"]) == ResolvedIds(
        rows=(0,), unknown_positions=(), heldout_positions=(0, 2, 3), canary_rows=(3, 1)
    )


@pytest.mark.parametrize(
    ("changed", "dropped"),
    [
        ({"uri": ["file:///a"] * 4}, ["image"]),
        ({"uri": ["file:///a", None, "", "file:///a"]}, []),
        ({"uri": ["file:///a", None, "", "file:///a"], "image": [None, b"png", b"png", None]}, []),
        ({"subject_id": ["a", None, "b", "b"], "sha256": ["aB" * 32, None, "01" * 32, "23" * 32]}, []),
        ({"something_else": [1, 2, 3, 4]}, []),
        ({"label": pa.array([0, 1, 2, 3], pa.uint8())}, []),
        ({"split": pa.array(["train", "train", "heldout", "train"]).dictionary_encode()}, []),
        ({"sample_id": ["a", "A", "a ", "x" * 256]}, []),
        ({"sample_id": ["é", "e\u0301", "\U0001f600", "a\x00b"]}, []),
    ],
)  # fmt: skip
def test_every_allowed_shape_is_accepted(
    source: DuckDBManifestSource, objects: MemoryObjectStore, changed: dict[str, object], dropped: list[str]
) -> None:
    assert source.inspect(put_table(objects, changed, *dropped)).rows == 4


@pytest.mark.parametrize(
    ("changed", "dropped", "message"),
    [
        ({}, ["sample_id"], "lacks the column sample_id; it has image, label, split"),
        ({}, ["split", "label"], "lacks the column label, split; it has image, sample_id"),
        ({}, ["image"], r"needs a column image \(binary\) or uri; it has label, sample_id, split"),
        ({"sample_id": [1, 2, 3, 4]}, [], "sample_id must be a string, but is BIGINT"),
        ({"label": ["0", "1", "2", "3"]}, [], "label must be an integer, but is VARCHAR"),
        ({"label": [0.0, 1.0, 2.0, 3.0]}, [], "label must be an integer, but is DOUBLE"),
        ({"image": ["a", "b", "c", "d"]}, [], "image must be binary, but is VARCHAR"),
        ({"sample_id": [SECRET, SECRET, "c", "d"]}, [], r"4 rows, 2 share .* \(1 such ids\)"),
        ({"sample_id": [SECRET] * 2 + ["c"] * 2}, [], r"4 share .* \(2 such ids\)"),
        ({"sample_id": [SECRET, None, "", "d"]}, [], "2 have no sample_id"),
        ({"sample_id": [SECRET, "x" * 257, "c", "d"]}, [], "1 have a sample_id of more than 256 characters"),
        ({"split": ["train", "test", None, "Train"]}, [], "3 have a split other than train, heldout and canary"),
        ({"label": [0, -1, None, 3]}, [], "2 have no label or a negative one"),
        ({"image": [b"a", None, None, b""]}, [], "2 have neither an image nor a uri"),
        ({"image": [b"a", None, None, b""], "uri": [None, "", "u", None]}, [], "1 have neither an image nor a uri"),
        ({"uri": ["a", None, "", "d"]}, ["image"], "2 have neither an image nor a uri"),
        ({"sha256": ["aB" * 32, None, "zz" * 32, "ab"]}, [], "2 have a sha256"),
        ({"split": ["heldout"] * 4}, [], "none of the manifest's 4 rows has split train"),
        ({"label": [-1] * 4, "split": ["x"] * 4}, [], "4 have a split .*, 4 have no label"),
    ],
)  # fmt: skip
def test_an_unusable_manifest_is_refused_with_counts(
    source: DuckDBManifestSource,
    objects: MemoryObjectStore,
    changed: dict[str, object],
    dropped: list[str],
    message: str,
) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        source.inspect(put_table(objects, changed, *dropped))
    assert SECRET not in str(caught.value)


def test_missing_images_are_counted_without_statistics_too(
    source: DuckDBManifestSource, objects: MemoryObjectStore
) -> None:
    table = pa.table(columns() | {"image": [b"a", None, b"c", b"d"]})

    with pytest.raises(ManifestError, match="1 have neither"):
        source.inspect(put(objects, parquet(table, write_statistics=False)))


def test_an_empty_manifest_is_refused(source: DuckDBManifestSource, objects: MemoryObjectStore) -> None:
    with pytest.raises(ManifestError, match="none of the manifest's 0 rows"):
        source.inspect(put(objects, parquet(pa.table(columns()).slice(0, 0))))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"sample_id,split,label\n"])
def test_what_is_no_parquet_is_refused(
    source: DuckDBManifestSource, objects: MemoryObjectStore, content: bytes
) -> None:
    with pytest.raises(ManifestError, match="not a Parquet file"):
        source.inspect(put(objects, content))


@given(length=st.integers(0, len(parquet(pa.table(columns()))) - 1))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_manifest_is_refused(source: DuckDBManifestSource, objects: MemoryObjectStore, length: int) -> None:
    with pytest.raises(ManifestError):
        source.inspect(put(objects, parquet(pa.table(columns()))[:length]))


def test_ids_that_are_no_utf8_are_refused_and_not_quoted(
    source: DuckDBManifestSource, objects: MemoryObjectStore
) -> None:
    buffers = [pa.py_buffer(bytes([0, 0, 0, 0, 3, 0, 0, 0])), pa.py_buffer(b"se\xff")]
    table = pa.table(
        {"sample_id": pa.StringArray.from_buffers(1, *buffers), "split": ["train"], "label": [0], "uri": ["u"]}
    )

    with pytest.raises(ManifestError) as caught:
        source.inspect(put(objects, parquet(table)))
    assert caught.value.__cause__ is None
    assert "se" not in str(caught.value).split()


@pytest.mark.parametrize("digest", ["", "AB" * 32, "../../etc/passwd", "ab" * 31, "ab" * 32 + "\n"])
def test_what_is_no_digest_is_refused(source: DuckDBManifestSource, digest: str) -> None:
    with pytest.raises(InvalidRequestError, match="manifest_digest"):
        source.inspect(digest)


def test_an_unknown_manifest_is_missing(source: DuckDBManifestSource) -> None:
    with pytest.raises(ObjectMissingError):
        source.inspect("ab" * 32)


def test_a_manifest_under_a_name_that_is_not_its_digest_is_refused(
    objects: MemoryObjectStore, source: DuckDBManifestSource
) -> None:
    objects.create(manifest_key("ab" * 32), parquet(pa.table(columns())))

    for _ in range(2):
        with pytest.raises(ManifestDigestMismatchError):
            source.inspect("ab" * 32)


def test_a_manifest_that_was_changed_in_the_store_is_refused(
    objects: MemoryObjectStore, source: DuckDBManifestSource
) -> None:
    digest = put_table(objects, {})
    objects._objects[manifest_key(digest)] = (b"changed", digest)

    with pytest.raises(ManifestDigestMismatchError):
        source.inspect(digest)


def test_a_damaged_copy_is_fetched_again(objects: MemoryObjectStore, tmp_path: Path) -> None:
    digest = put_table(objects, {})
    cache = ManifestCache(objects, tmp_path)
    whole = cache.path(digest).read_bytes()

    cache.path(digest).write_bytes(b"damaged while the process ran")
    assert cache.path(digest).read_bytes() == whole
    cache.path(digest).write_bytes(b"damaged while no process ran")
    assert ManifestCache(objects, tmp_path).path(digest).read_bytes() == whole


def test_a_copy_spares_the_store(objects: MemoryObjectStore, tmp_path: Path) -> None:
    digest = put_table(objects, {})
    DuckDBManifestSource(objects, tmp_path).inspect(digest)
    objects.delete(manifest_key(digest))

    assert DuckDBManifestSource(objects, tmp_path).resolve(digest, ["sample-1"]).rows == (1,)


def slowly_resolved(ids: Sequence[str], splits: Sequence[str], requested: Sequence[str]) -> ResolvedIds:
    """The obvious way: look each id up."""
    rows, unknown, heldout = [], [], []
    for position, sample_id in enumerate(requested):
        if sample_id not in ids:
            unknown.append(position)
        elif splits[ids.index(sample_id)] == "train":
            rows.append(ids.index(sample_id))
        else:
            heldout.append(position)
    return ResolvedIds(rows=tuple(rows), unknown_positions=tuple(unknown), heldout_positions=tuple(heldout))


sample_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5) | st.sampled_from(
    ["'; DROP TABLE requested; --", "$path", "%", "_", "a", "A", "a ", " a", "0", "00", "é", "e\u0301", "\x00", "a\x00"]
)


@given(
    ids=st.lists(sample_ids, unique=True, min_size=1, max_size=40),
    heldout=st.sets(st.integers(0, 39)),
    others=st.lists(sample_ids | st.sampled_from(["\ud800", "", "x" * 1000]), max_size=10),
    data=st.data(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_are_resolved_as_by_looking_each_of_them_up(
    source: DuckDBManifestSource,
    objects: MemoryObjectStore,
    ids: list[str],
    heldout: set[int],
    others: list[str],
    data: st.DataObject,
) -> None:
    splits = ["heldout" if row in heldout else "train" for row in range(len(ids))]
    table = pa.table({"sample_id": ids, "split": splits, "label": [0] * len(ids), "uri": ["u"] * len(ids)})
    digest = put(objects, parquet(table, row_group_size=7))
    requested = data.draw(st.permutations(others + data.draw(st.lists(st.sampled_from(ids), max_size=40))))

    assert source.resolve(digest, requested) == slowly_resolved(ids, splits, requested)


def test_no_ids_resolve_to_nothing(source: DuckDBManifestSource, objects: MemoryObjectStore) -> None:
    assert source.resolve(put_table(objects, {}), []) == ResolvedIds(
        rows=(), unknown_positions=(), heldout_positions=()
    )


def test_a_manifest_with_an_id_twice_resolves_nothing(source: DuckDBManifestSource, objects: MemoryObjectStore) -> None:
    digest = put_table(objects, {"sample_id": [SECRET, SECRET, "c", "d"]})

    assert source.resolve(digest, ["d"]).rows == (3,)
    with pytest.raises(ManifestError, match="twice"):
        source.resolve(digest, [SECRET])


def test_threads_at_once_get_their_own_answers(source: DuckDBManifestSource, objects: MemoryObjectStore) -> None:
    rows = 2000
    table = training_table([f"s{row}" for row in range(rows)])
    digest = put(objects, parquet(table, row_group_size=100))

    def resolve(start: int) -> tuple[int, ...]:
        return source.resolve(digest, [f"s{row}" for row in range(start, rows, 16)]).rows

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(resolve, range(16)))

    assert found == [tuple(range(start, rows, 16)) for start in range(16)]


def test_what_does_not_fit_into_the_memory_limit_can_be_tried_again(objects: MemoryObjectStore, tmp_path: Path) -> None:
    source = DuckDBManifestSource(objects, tmp_path, memory_bytes=2_000_000)
    table = training_table([f"{row:0200d}" for row in range(200_000)])

    with pytest.raises(ServerOverloadedError):
        source.inspect(put(objects, parquet(table)))
