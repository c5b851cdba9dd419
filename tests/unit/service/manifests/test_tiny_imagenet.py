"""Manifests built from Tiny-ImageNet's folders and lists."""

from pathlib import Path

import pytest

from service.errors import ManifestError
from service.manifests.build import build_manifest
from service.manifests.plan import BuildOptions
from service.manifests.tiny_imagenet import tiny_imagenet_source
from tests.layouts import CLASSES, HELD_OUT, TRAIN, WNIDS, lay_out_tiny_imagenet
from tests.manifests import DEFAULTS, require_registrable, rows_of

ANNOTATIONS = "val/val_annotations.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lay_out_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    return tmp_path / "tiny-imagenet-200"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "manifest.parquet"


def test_train_and_validation_become_a_manifest(root: Path, target: Path, tmp_path: Path) -> None:
    built = build_manifest(tiny_imagenet_source(root), target, DEFAULTS)
    rows = rows_of(built)
    assert [row["split"] for row in rows] == ["train"] * TRAIN * CLASSES + ["heldout"] * HELD_OUT * CLASSES
    assert [row["label"] for row in rows[: TRAIN * CLASSES : TRAIN]] == [0, 1, 2]
    assert built.classes == WNIDS
    assert rows[0]["sample_id"] == f"train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG"
    require_registrable(built, tmp_path)


def test_validation_images_have_the_class_that_the_list_says(root: Path, target: Path) -> None:
    rows = rows_of(build_manifest(tiny_imagenet_source(root), target, DEFAULTS))
    said = dict(line.split("\t")[:2] for line in (root / ANNOTATIONS).read_text().splitlines())
    heldout = {row["sample_id"]: row["label"] for row in rows if row["split"] == "heldout"}
    assert heldout == {f"val/images/{name}": WNIDS.index(wnid) for name, wnid in said.items()}


def test_images_can_be_referred_to(root: Path, target: Path) -> None:
    rows = rows_of(build_manifest(tiny_imagenet_source(root), target, BuildOptions(by_reference=True)))
    assert all(Path(row["uri"].removeprefix("file://")).is_file() for row in rows)


@pytest.mark.parametrize("name", ["../../secret.JPEG", "/etc/passwd", "val_999.JPEG"])
def test_the_list_cannot_name_what_is_not_among_the_images(root: Path, name: str) -> None:
    with (root / ANNOTATIONS).open("a") as file:
        file.write(f"{name}\t{WNIDS[0]}\t0\t0\t1\t1\n")
    with pytest.raises(ManifestError, match=f"line {HELD_OUT * CLASSES + 1} of val/val_annotations.txt"):
        tiny_imagenet_source(root)


@pytest.mark.parametrize("line", ["val_0.JPEG\tn99999999", "val_0.JPEG", "", f"val_0.JPEG\t{WNIDS[0]}"])
def test_a_line_without_a_class_or_for_a_second_time_is_refused(root: Path, line: str) -> None:
    with (root / ANNOTATIONS).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ManifestError, match=f"line {HELD_OUT * CLASSES + 1} of"):
        tiny_imagenet_source(root)


def test_an_image_without_a_line_is_counted(root: Path) -> None:
    lines = (root / ANNOTATIONS).read_text().splitlines()
    (root / ANNOTATIONS).write_text("\n".join(lines[2:]))
    with pytest.raises(ManifestError, match=f"2 of {HELD_OUT * CLASSES} validation images"):
        tiny_imagenet_source(root)


def test_a_class_without_a_folder_is_counted(root: Path) -> None:
    with (root / "wnids.txt").open("a") as file:
        file.write("n00000001\n")
    with pytest.raises(ManifestError, match="1 of 4 classes"):
        tiny_imagenet_source(root)
