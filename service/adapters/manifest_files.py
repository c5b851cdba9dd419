"""Manifests as Parquet files, read by DuckDB inside a memory limit."""

import glob
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from service.adapters.manifest_cache import ManifestCache
from service.adapters.manifest_checks import check_manifest
from service.domain.manifest import Manifest, ResolvedIds, Split
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
        with self._connection() as connection:
            try:
                connection.register("requested", requested)
                found = connection.execute(_RESOLVE, {"path": str(path)}).fetchall()
            except duckdb.OutOfMemoryException as error:
                raise _overloaded() from error
            except duckdb.Error:
                # The file was readable when it was inspected: it is the machine that fails now.
                raise ObjectStoreUnavailableError("the manifest's local copy cannot be read now") from None
        return _resolved(found, len(sample_ids))

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
