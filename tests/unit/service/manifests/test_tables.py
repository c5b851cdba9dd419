"""Manifests built from CSV, JSON Lines and Parquet."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.manifest import Split
from service.errors import ManifestError
from service.manifests.build import build_manifest
from service.manifests.plan import BuildOptions
from service.manifests.tables import table_source
from tests.manifests import DEFAULTS, SECRET, picture, require_registrable, rows_of, sample, source_of


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "built" / "manifest.parquet"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(number))
    return folder


TABLE = [
    {"sample_id": "a", "split": "train", "label": "cat", "path": "images/0.png", "subject_id": "s"},
    {"sample_id": "b", "split": "test", "label": "dog", "path": "images/1.png", "subject_id": ""},
    {"sample_id": "c", "split": "TRAIN", "label": "cat", "path": "images/2.png", "subject_id": "t"},
]


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, TABLE[0].keys())
        writer.writeheader()
        writer.writerows(TABLE)


def write_json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in TABLE))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(TABLE), path)


@pytest.mark.parametrize(
    ("name", "write"), [("t.csv", write_csv), ("t.jsonl", write_json_lines), ("t.PARQUET", write_parquet)]
)
@pytest.mark.usefixtures("images")
def test_a_table_becomes_a_manifest(tmp_path: Path, target: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    built = build_manifest(table_source(tmp_path / name), target, DEFAULTS)

    assert rows_of(built) == [
        {"sample_id": "a", "split": "train", "label": 0, "subject_id": "s", "image": picture(0)},
        {"sample_id": "b", "split": "heldout", "label": 1, "subject_id": None, "image": picture(1)},
        {"sample_id": "c", "split": "train", "label": 0, "subject_id": "t", "image": picture(2)},
    ]
    assert built.classes == ("cat", "dog")
    require_registrable(built, tmp_path)


def test_a_manifest_by_reference_names_files_and_their_digests(tmp_path: Path, images: Path, target: Path) -> None:
    write_csv(tmp_path / "t.csv")
    built = build_manifest(table_source(tmp_path / "t.csv"), target, BuildOptions(by_reference=True))

    for number, row in enumerate(rows_of(built)):
        assert Path(url2pathname(urlsplit(str(row["uri"])).path)) == images / f"{number}.png"
        assert row["sha256"] == hashlib.sha256(picture(number)).hexdigest()
        assert "image" not in row
    require_registrable(built, tmp_path)


def test_a_manifest_by_reference_can_be_built_again_with_its_images(tmp_path: Path, images: Path, target: Path) -> None:
    write_csv(tmp_path / "t.csv")
    build_manifest(table_source(tmp_path / "t.csv"), target, BuildOptions(by_reference=True))

    built = build_manifest(table_source(target), tmp_path / "embedded.parquet", DEFAULTS)

    assert [row["image"] for row in rows_of(built)] == [picture(number) for number in range(3)]


def test_a_manifest_can_be_built_from_a_manifest(tmp_path: Path, target: Path) -> None:
    first = build_manifest(source_of([sample(1), sample(2, split=Split.HELDOUT)]), target, DEFAULTS)

    assert build_manifest(table_source(target), tmp_path / "again.parquet", DEFAULTS).digest == first.digest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"", r"ends in .csv, .jsonl, .ndjson, .parquet, not in .xlsx"),
        ("t.csv", b"id,label\n1,2\n", r"lacks the column sample_id, uri \(or path, or image\); it has id, label"),
        ("t.csv", b"", "no samples"),
        ("t.csv", b"sample_id,label,path\na,1\n", r"row 0 .*as many fields"),
        ("t.csv", b"sample_id,label,path\na,1,b,c\n", r"row 0 .*as many fields"),
        ("t.csv", b"sample_id,label,path\na,1,\n", r"row 0 .*neither an image nor a path"),
        ("t.csv", b"sample_id,label,path,split\na,1,x,maybe\n", r"row 0 .*split must be train or heldout"),
        ("t.csv", b'sample_id,label,path\n"a,1,b\n', "cannot be read near line"),
        ("t.csv", b"sample_id,label,path\n\xff,1,b\n", "cannot be read near line"),
        ("t.csv", b"sample_id,label,uri\na,1,s3://bucket/a\n", "not from s3:"),
        ("t.jsonl", b"{}\n", "lacks the column"),
        ("t.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("t.jsonl", b'{"sample_id": "a", "label": 1, "path": "b"}\n{', "line 2 is not JSON"),
        ("t.jsonl", b"\xff\n", "line 1 is not JSON"),
        ("t.jsonl", b'{"sample_id": ["someone@example.org"], "label": 1, "path": "b"}\n', "row 0 .*sample_id must be"),
        ("t.jsonl", b'{"sample_id": "a", "label": true, "path": "b"}\n', "row 0 .*label must be"),
        ("t.jsonl", b'{"sample_id": "a", "label": 1, "split": ["x"], "path": "b"}\n', "row 0 .*split must be"),
        ("t.jsonl", b'{"sample_id": "\\ud800", "label": 1, "path": "b", "split": "train"}\n', "1 of 1 samples"),
        ("t.parquet", b"PAR1", "the Parquet file cannot be read"),
    ],
)
def test_an_unusable_table_is_refused(tmp_path: Path, target: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ManifestError, match=message) as caught:
        build_manifest(table_source(tmp_path / name), target, DEFAULTS)
    assert SECRET not in str(caught.value)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no file"):
        table_source(tmp_path / "none.csv")
