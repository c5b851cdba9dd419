"""Manifests as Parquet files, read by DuckDB inside a memory limit."""

import glob
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from service.adapters.manifest_cache import ManifestCache
from service.adapters.manifest_checks import check_manifest
from service.domain.manifest import Manifest, ResolvedIds, SelectedSamples, Split
from service.errors import ManifestError, ObjectStoreUnavailableError, ServerOverloadedError
from service.ports import ObjectStore

_QUERIES_AT_ONCE = 2
"""Further callers wait: each query may use its share of the memory."""

_RESOLVE = """
SELECT requested.position, manifest.file_row_number, manifest.split
FROM requested
JOIN read_parquet($path, file_row_number = true, hive_partitioning = false) AS manifest USING (sample_id)
ORDER BY requested.position
"""

_HAS_SUBJECTS = """
SELECT column_name FROM (DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning = false))
WHERE column_name = 'subject_id'
"""

_OF_SUBJECTS = """
SELECT requested.position, manifest.sample_id
FROM requested LEFT JOIN (
    SELECT subject_id, sample_id, file_row_number
    FROM read_parquet($path, file_row_number = true, hive_partitioning = false) WHERE split = 'train') AS manifest
USING (subject_id)
ORDER BY manifest.file_row_number
"""

_OF_LABEL = """
SELECT sample_id FROM read_parquet($path, file_row_number = true, hive_partitioning = false)
WHERE split = 'train' AND label = $label
ORDER BY file_row_number
"""


class DuckDBManifestSource:
    """Reads manifests from an object store through a local cache. Thread-safe: every call has a connection of its own.

    A connection is a database of its own too, since DuckDB refuses further work on one in which a hostile file has
    made it stumble.
    """

    def __init__(
        self, objects: ObjectStore, cache_dir: Path, *, memory_bytes: int = 2 * 1024**3, threads: int = 2
    ) -> None:
        """Keep copies under `cache_dir`.

        Args:
            objects: where the manifests lie.
            cache_dir: of the copies, and of what does not fit into memory.
            memory_bytes: for all queries together; what needs more goes to disk.
            threads: of each query.
        """
        self._cache = ManifestCache(objects, cache_dir)
        self._turns = threading.BoundedSemaphore(_QUERIES_AT_ONCE)
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_bytes // _QUERIES_AT_ONCE}B",
            "threads": threads,
            "temp_directory": str(cache_dir / "spill"),
            "preserve_insertion_order": False,  # costs memory, and every answer is sorted by what it says
            # Nothing that DuckDB would fetch from elsewhere.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }

    def inspect(self, digest: str) -> Manifest:
        """Check a manifest and count its rows."""
        path = self._path(digest)
        with self._connection() as connection:
            try:
                return check_manifest(connection, path, digest)
            except duckdb.OutOfMemoryException as error:
                raise _overloaded() from error
            except (duckdb.Error, UnicodeDecodeError):
                # Neither the cause nor its text: DuckDB quotes values, such as ids that are not UTF-8.
                raise ManifestError("the manifest is not a Parquet file that can be read: write it again") from None

    def resolve(self, digest: str, sample_ids: Sequence[str]) -> ResolvedIds:
        """Find the rows of sample ids."""
        path = self._path(digest)
        requested = pa.table({"position": pa.array(range(len(sample_ids)), pa.int64()), "sample_id": _ids(sample_ids)})
        return _resolved(self._rows(_RESOLVE, {"path": str(path)}, requested), len(sample_ids))

    def of_subjects(self, digest: str, subject_ids: Sequence[str]) -> SelectedSamples:
        """Find the training samples of people, each of whom is named once."""
        parameters: dict[str, str | int] = {"path": str(self._path(digest))}
        if not self._rows(_HAS_SUBJECTS, parameters):
            raise ManifestError("the manifest has no column subject_id: name the samples themselves")
        positions = pa.array(range(len(subject_ids)), pa.int64())
        requested = pa.table({"position": positions, "subject_id": _ids(subject_ids)})
        found = self._rows(_OF_SUBJECTS, parameters, requested)
        return SelectedSamples(
            sample_ids=tuple(sample_id for _, sample_id in found if sample_id is not None),
            unknown_positions=tuple(sorted(position for position, sample_id in found if sample_id is None)),
        )

    def of_label(self, digest: str, label: int) -> SelectedSamples:
        """Find the training samples of a label."""
        found = self._rows(_OF_LABEL, {"path": str(self._path(digest)), "label": label})
        return SelectedSamples(sample_ids=tuple(sample_id for (sample_id,) in found))

    def _rows(
        self, query: str, parameters: Mapping[str, str | int], requested: pa.Table | None = None
    ) -> list[tuple[Any, ...]]:
        with self._connection() as connection:
            try:
                if requested is not None:
                    connection.register("requested", requested)
                return connection.execute(query, parameters).fetchall()
            except duckdb.OutOfMemoryException as error:
                raise _overloaded() from error
            except duckdb.Error:
                # The file was readable when it was inspected: it is the machine that fails now.
                raise ObjectStoreUnavailableError("the manifest's local copy cannot be read now") from None

    def _path(self, digest: str) -> Path:
        return Path(glob.escape(str(self._cache.path(digest))))

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._turns, duckdb.connect(":memory:", config=self._config) as connection:
            yield connection


def _ids(sample_ids: Sequence[str]) -> pa.Array:
    """Return the ids as Arrow has them; one that is not Unicode text (a lone surrogate) is no id of any manifest."""
    try:
        return pa.array(sample_ids, pa.string())
    except UnicodeEncodeError:
        return pa.array([_unicode(sample_id) for sample_id in sample_ids], pa.string())


def _unicode(sample_id: str) -> str | None:
    try:
        sample_id.encode()
    except UnicodeEncodeError:
        return None
    return sample_id


def _resolved(found: Sequence[tuple[int, int, str]], requested: int) -> ResolvedIds:
    known = {position: (row, split) for position, row, split in found}
    if len(known) != len(found):
        raise ManifestError("the manifest has a sample_id twice: inspect it before ids are resolved")
    return ResolvedIds(
        rows=tuple(row for row, split in known.values() if split == Split.TRAIN),
        unknown_positions=tuple(position for position in range(requested) if position not in known),
        heldout_positions=tuple(position for position, (_, split) in known.items() if split != Split.TRAIN),
        canary_rows=tuple(row for row, split in known.values() if split == Split.CANARY),
    )


def _overloaded() -> ServerOverloadedError:
    return ServerOverloadedError("the manifest needs more memory than is allowed now")
