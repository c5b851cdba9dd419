"""A file that a person names as a manifest is one, or is refused by what it lacks."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import ManifestError
from service.worker.manifest_file import require_manifest

WHOLE: dict[str, list[Any]] = {
    "sample_id": ["a", "b"], "split": ["train", "heldout"], "label": [0, 1], "image": [b"1", b"2"],
}  # fmt: skip


def written(folder: Path, columns: dict[str, list[Any]]) -> Path:
    path = folder / "some.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_manifest_is_accepted(tmp_path: Path) -> None:
    require_manifest(written(tmp_path, WHOLE))


@pytest.mark.parametrize("content", [b"", b"no Parquet", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"some\.parquet is no manifest"):
        require_manifest(path)


@pytest.mark.parametrize("column", ["sample_id", "split", "label", "image"])
def test_a_missing_column_is_named(column: str, tmp_path: Path) -> None:
    path = written(tmp_path, {name: values for name, values in WHOLE.items() if name != column})
    with pytest.raises(ManifestError, match=column):
        require_manifest(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ["cat", "secret"]}, "is no manifest"),
        ({"label": [0, None]}, "2 rows, some without label"),
        ({"split": ["train", "secret"]}, "a split that is none of"),
        ({"sample_id": ["secret", "secret"]}, "names 1 samples again"),
    ],
)
def test_values_that_cannot_be_used_are_refused_and_not_told(
    change: dict[str, list[Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=message) as refused:
        require_manifest(written(tmp_path, {**WHOLE, **change}))
    assert "secret" not in str(refused.value)


def test_a_manifest_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table(WHOLE).slice(0, 0), path)
    with pytest.raises(ManifestError, match="0 rows"):
        require_manifest(path)
