"""What a manifest's Parquet file must be. Messages carry counts, never an id."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from service.domain.manifest import Manifest
from service.errors import ManifestError

MAX_ID_LENGTH = 256
"""Characters of a sample id."""
_INTEGERS = frozenset(
    f"{sign}{size}" for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT") for sign in ("", "U")
)
_REQUIRED = {"sample_id": frozenset({"VARCHAR"}), "split": frozenset({"VARCHAR"}), "label": _INTEGERS}
_OPTIONAL = {
    "image": frozenset({"BLOB"}),
    "uri": frozenset({"VARCHAR"}),
    "subject_id": frozenset({"VARCHAR"}),
    "sha256": frozenset({"VARCHAR"}),
}
_WORDS = {"VARCHAR": "a string", "BLOB": "binary"}

_COLUMNS = (
    "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning = false))"
)

_ROWS = """
SELECT count(*),
       count(*) FILTER (WHERE split = 'train'),
       count(*) FILTER (WHERE split = 'heldout'),
       count(*) FILTER (WHERE split = 'canary'),
       count(*) FILTER (WHERE sample_id IS NULL OR sample_id = ''),
       count(*) FILTER (WHERE length(sample_id) > $length),
       count(*) FILTER (WHERE label IS NULL OR label < 0),
       max(label)
FROM read_parquet($path, hive_partitioning = false)
"""

# Grouping by hash needs a fraction of the memory of grouping by id; only ids whose hash occurs twice are compared.
_REPEATED = """
WITH suspects AS MATERIALIZED (
    SELECT hash(sample_id) AS suspect FROM read_parquet($path, hive_partitioning = false)
    GROUP BY suspect HAVING count(*) > 1)
SELECT count(*), coalesce(sum(occurrences), 0)
FROM (SELECT count(*) AS occurrences FROM read_parquet($path, hive_partitioning = false)
      WHERE hash(sample_id) IN (SELECT suspect FROM suspects)
      GROUP BY sample_id HAVING count(*) > 1)
"""

# The statistics spare reading every image only to see that it is there.
_IMAGES_BY_STATISTICS = """
SELECT coalesce(bool_and(stats_null_count IS NOT NULL AND stats_null_count = 0), true)
FROM parquet_metadata($path) WHERE path_in_schema = 'image'
"""

_WITHOUT_IMAGE = "SELECT count(*) - count(image) FROM read_parquet($path, hive_partitioning = false)"

_WITHOUT_URI = """
SELECT count(*) FILTER (WHERE uri IS NULL OR uri = '') FROM read_parquet($path, hive_partitioning = false)
"""

_WITHOUT_EITHER = """
SELECT count(*) FILTER (WHERE image IS NULL AND (uri IS NULL OR uri = ''))
FROM read_parquet($path, hive_partitioning = false)
"""

_WRONG_SHA256 = """
SELECT count(*) FILTER (WHERE NOT regexp_full_match(sha256, '[0-9a-fA-F]{64}'))
FROM read_parquet($path, hive_partitioning = false)
"""


def check_manifest(connection: duckdb.DuckDBPyConnection, path: Path, digest: str) -> Manifest:
    """Check a manifest and count its rows; everything that is wrong with its rows is told at once.

    Args:
        connection: runs the queries inside its memory limit.
        path: the file, escaped for DuckDB's globs.
        digest: of the file, checked by the caller.

    Raises:
        ManifestError: columns, splits, labels or ids are unusable.
        duckdb.Error: the file cannot be read.
    """
    parameters = {"path": str(path)}
    columns: dict[str, str] = dict(connection.execute(_COLUMNS, parameters).fetchall())
    _check_columns(columns)
    rows, train, heldout, canary, no_id, long_id, wrong_label, label_max = _one(
        connection, _ROWS, parameters | {"length": MAX_ID_LENGTH}
    )
    ids, repeats = _one(connection, _REPEATED, parameters)
    (without_image,) = _one(connection, _missing_image_query(connection, columns, parameters), parameters)
    (wrong_sha256,) = _one(connection, _WRONG_SHA256, parameters) if "sha256" in columns else (0,)
    problems = {
        "have a split other than train, heldout and canary": rows - train - heldout - canary,
        "have no sample_id": no_id,
        f"have a sample_id of more than {MAX_ID_LENGTH} characters": long_id,
        f"share their sample_id with another row ({ids} such ids)": repeats if not no_id else 0,
        "have no label or a negative one": wrong_label,
        "have neither an image nor a uri": without_image,
        "have a sha256 that is not 64 hexadecimal digits": wrong_sha256,
    }
    found = [f"{count} {what}" for what, count in problems.items() if count]
    if found:
        raise ManifestError(f"of the manifest's {rows} rows, {', '.join(found)}")
    if not train:
        raise ManifestError(f"none of the manifest's {rows} rows has split train")
    return Manifest(
        digest=digest, rows=rows, train_rows=train, heldout_rows=heldout, label_max=label_max, canary_rows=canary
    )


def _check_columns(columns: dict[str, str]) -> None:
    missing = sorted(_REQUIRED.keys() - columns.keys())
    if missing:
        raise ManifestError(f"the manifest lacks the column {', '.join(missing)}; it has {_listed(columns)}")
    if not {"image", "uri"} & columns.keys():
        raise ManifestError(f"the manifest needs a column image (binary) or uri; it has {_listed(columns)}")
    for name, allowed in (_REQUIRED | _OPTIONAL).items():
        if name in columns and columns[name] not in allowed:
            expected = "an integer" if name == "label" else _WORDS[min(allowed)]
            raise ManifestError(f"the manifest's column {name} must be {expected}, but is {columns[name]}")


def _missing_image_query(
    connection: duckdb.DuckDBPyConnection, columns: dict[str, str], parameters: dict[str, str]
) -> str:
    if "image" not in columns:
        return _WITHOUT_URI
    (complete,) = _one(connection, _IMAGES_BY_STATISTICS, parameters)
    if complete:
        return "SELECT 0 WHERE $path IS NOT NULL"
    return _WITHOUT_EITHER if "uri" in columns else _WITHOUT_IMAGE


def _one(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, str | int]) -> tuple[int, ...]:
    row: tuple[int, ...] | None = connection.execute(query, parameters).fetchone()
    if row is None:
        raise RuntimeError("an aggregate without a row")
    return row


def _listed(columns: dict[str, str]) -> str:
    return ", ".join(sorted(columns)[:20])
