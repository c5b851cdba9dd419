"""Manifests built from CIFAR's binary files."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import ManifestError
from service.manifests.build import build_manifest
from service.manifests.cifar import cifar_source, is_cifar
from tests.layouts import CLASSES, HELD_OUT, TRAIN, lay_out_cifar10, picture
from tests.manifests import DEFAULTS, decoded, require_registrable, rows_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out_cifar10(tmp_path / "cifar-10-batches-bin")
    return tmp_path / "cifar-10-batches-bin"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "manifest.parquet"


def test_cifar10_becomes_a_manifest(folder: Path, target: Path, tmp_path: Path) -> None:
    built = build_manifest(cifar_source(folder), target, DEFAULTS)
    rows = rows_of(built)
    train, heldout = 5 * (TRAIN // 4) * CLASSES, HELD_OUT * CLASSES
    assert [row["split"] for row in rows] == ["train"] * train + ["heldout"] * heldout
    assert rows[6]["sample_id"] == "train-000006"
    assert rows[train]["sample_id"] == "heldout-000000"
    assert [row["label"] for row in rows[:4]] == [0, 1, 2, 0]
    assert built.classes is not None
    assert built.classes[:3] == ("airplane", "automobile", "bird")
    assert len(built.classes) == 10
    require_registrable(built, tmp_path)


def test_pixels_are_red_green_and_blue_planes(folder: Path, target: Path) -> None:
    rows = rows_of(build_manifest(cifar_source(folder), target, DEFAULTS))
    assert np.array_equal(decoded(rows[0]["image"]), picture(0, 0))
    assert np.array_equal(decoded(rows[7]["image"]), picture(1, 100))  # second file, second image


def test_cifar100_has_its_fine_labels(tmp_path: Path, target: Path) -> None:
    image = picture(1, 1).transpose(2, 0, 1).tobytes()
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(bytes([11, 98]) + image + bytes([4, 3]) + image)
    built = build_manifest(cifar_source(tmp_path), target, DEFAULTS)
    assert [row["label"] for row in rows_of(built)] == [98, 3, 98, 3]
    assert built.classes is None


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(ManifestError, match=r"no data_batch_3\.bin"):
        cifar_source(folder)


def test_a_file_that_is_cut_short_is_named(folder: Path, target: Path) -> None:
    file = folder / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ManifestError, match=r"data_batch_2\.bin ends in the middle"):
        build_manifest(cifar_source(folder), target, DEFAULTS)


def test_a_label_that_does_not_exist_means_damage(folder: Path, target: Path) -> None:
    file = folder / "test_batch.bin"
    file.write_bytes(b"\x0a" + file.read_bytes()[1:])
    with pytest.raises(ManifestError, match=r"test_batch\.bin has a label above 9"):
        build_manifest(cifar_source(folder), target, DEFAULTS)


def test_the_python_version_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x01.")
    assert not is_cifar(tmp_path)
    with pytest.raises(ManifestError, match=r"no test_batch\.bin"):
        cifar_source(tmp_path)
