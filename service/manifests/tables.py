"""Data sets that are tables: CSV, JSON Lines and Parquet, one row a sample."""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.manifest import Split
from service.errors import ManifestError
from service.manifests.plan import Sample, SampleSource

_PATH_COLUMNS = ("uri", "path")
_COLUMNS = frozenset({"sample_id", "split", "label", "subject_id", "image", *_PATH_COLUMNS})
_ROWS_AT_ONCE = 256
_SPLITS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "heldout": Split.HELDOUT,
    "held-out": Split.HELDOUT,
    "test": Split.HELDOUT,
    "testing": Split.HELDOUT,
    "val": Split.HELDOUT,
    "valid": Split.HELDOUT,
    "validation": Split.HELDOUT,
}

Row = Mapping[str, object]


def split_of(name: str) -> Split | None:
    """Return the split that a name usually stands for, `None` for a name that stands for none."""
    return _SPLITS.get(name.strip().lower())


def table_source(path: Path) -> SampleSource:
    """Read a table by its suffix: `.csv`, `.jsonl` (or `.ndjson`), `.parquet`.

    Columns: `sample_id`, `label`, optionally `split` and `subject_id`, and for the image `uri` or `path` (a file,
    relative to the table's folder) or, in Parquet, `image` (bytes).

    Raises:
        ManifestError: another suffix; no such file; reading it tells of missing columns and unusable rows.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".csv": _csv_rows,
        ".jsonl": _json_rows,
        ".ndjson": _json_rows,
        ".parquet": _parquet_rows,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ManifestError(f"a table ends in {', '.join(readers)}, not in {path.suffix or 'nothing'}")
    if not path.is_file():
        raise ManifestError(f"there is no file {path}")
    return SampleSource(samples=lambda: _samples(path, reader))


def _samples(path: Path, reader: Callable[[Path], Iterator[Row]]) -> Iterator[Sample]:
    for position, row in enumerate(reader(path)):
        if position == 0:
            _check_columns(row.keys())
        yield _sample(row, position, path.parent)


def _check_columns(found: Collection[str]) -> None:
    missing = [name for name in ("sample_id", "label") if name not in found]
    if not any(name in found for name in ("image", *_PATH_COLUMNS)):
        missing.append("uri (or path, or image)")
    if missing:
        raise ManifestError(f"the table lacks the column {', '.join(missing)}; it has {', '.join(sorted(found))}")


def _sample(row: Row, position: int, folder: Path) -> Sample:
    sample_id, label, split, subject = (row.get(name) for name in ("sample_id", "label", "split", "subject_id"))
    if not isinstance(sample_id, str | int) or isinstance(sample_id, bool):
        raise _unusable(position, "sample_id must be a string")
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise _unusable(position, "label must be a whole number or a class's name")
    known_split = None
    if split is not None and split != "":
        known_split = split_of(str(split))
        if known_split is None:
            raise _unusable(position, "split must be train or heldout")
    load, path = _image(row, position, folder)
    return Sample(
        sample_id=str(sample_id),
        split=known_split,
        label=label.strip() if isinstance(label, str) else label,
        load=load,
        path=path,
        subject_id=str(subject) if subject is not None and subject != "" else None,
    )


def _image(row: Row, position: int, folder: Path) -> tuple[Callable[[], bytes], Path | None]:
    image = row.get("image")
    if isinstance(image, bytes):
        return (lambda: image), None
    name = next((value for column in _PATH_COLUMNS if isinstance(value := row.get(column), str) and value), None)
    if name is None:
        raise _unusable(position, "neither an image nor a path to one")
    parts = urlsplit(name)
    if parts.scheme == "file":
        path = Path(url2pathname(parts.path))
    elif "://" in name:
        raise _unusable(position, f"images are read from files and file: URIs, not from {parts.scheme}:")
    else:
        path = folder / name
    return path.read_bytes, path


def _unusable(position: int, why: str) -> ManifestError:
    return ManifestError(f"row {position} (counted from 0): {why}")


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for position, row in enumerate(reader):
                if None in row or None in row.values():
                    raise _unusable(position, "other than as many fields as the header has")
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ManifestError(f"the CSV file cannot be read near line {reader.line_num}") from error


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for position, line in enumerate(file):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ManifestError(f"line {position + 1} is not JSON") from error
            if not isinstance(row, dict):
                raise ManifestError(f"line {position + 1} is not a JSON object")
            yield row


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(names)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[name for name in names if name in _COLUMNS]):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ManifestError("the Parquet file cannot be read") from error
