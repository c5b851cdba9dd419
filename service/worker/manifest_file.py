"""Checking a manifest before anything is computed from it: one that a person names, or one of the object store.

The service checks what is registered with it by `adapters.manifest_checks`; a researcher's file is registered nowhere.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.domain.manifest import Split
from service.errors import ManifestDigestMismatchError, ManifestError
from service.ports import ObjectStore, manifest_key

_FACTS = pa.schema([("sample_id", pa.string()), ("split", pa.string()), ("label", pa.int64())])
_IMAGES = frozenset({"image", "uri"})


def fetch_manifest(objects: ObjectStore, digest: str, path: Path) -> None:
    """Write a registered manifest to a file.

    Raises:
        ObjectMissingError: there is none.
        DigestMismatchError: it is damaged.
        ManifestDigestMismatchError: somebody has put another one in its place.
    """
    stored = objects.download(manifest_key(digest), path)
    if stored.sha256 != digest:
        raise ManifestDigestMismatchError(f"the stored manifest has SHA-256 {stored.sha256}, its name says {digest}")


def require_manifest(path: Path) -> None:
    """Check that a file is Parquet, has the columns of a manifest, a value in each of their rows, and no sample twice.

    Raises:
        ManifestError: it is not, or lacks something; the message names columns, never values.
        FileNotFoundError: there is no such file.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            _require_columns(path, names)
            facts = file.read(columns=_FACTS.names).select(_FACTS.names).cast(_FACTS)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, not Arrow's about what the file holds
        # Neither the cause nor its text: Arrow quotes values.
        raise ManifestError(
            f"{path.name} is no manifest that can be read: `unlearn manifest build` makes one"
        ) from None
    empty = [name for name in _FACTS.names if facts[name].null_count]
    if empty or not facts.num_rows:
        raise ManifestError(f"{path.name} has {facts.num_rows} rows, some without {', '.join(empty) or 'anything'}")
    repeated = facts.num_rows - pc.count_distinct(facts["sample_id"]).as_py()
    if repeated:
        raise ManifestError(f"{path.name} names {repeated} samples again: one could be forgotten and retained at once")
    if not set(pc.unique(facts["split"]).to_pylist()) <= set(Split):
        raise ManifestError(f"{path.name} has a split that is none of {', '.join(Split)}")


def _require_columns(path: Path, names: set[str]) -> None:
    missing = [name for name in _FACTS.names if name not in names]
    if missing:
        raise ManifestError(f"{path.name} has no column {', '.join(missing)}: `unlearn manifest build` writes all")
    if not names & _IMAGES:
        raise ManifestError(f"{path.name} has neither a column image nor uri: `unlearn manifest build` writes one")
