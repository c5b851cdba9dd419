"""Manifests built from folders of images, IDX files, torchvision's data sets and scikit-learn's digits."""

import gzip
import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from service.domain.manifest import Split
from service.errors import InvalidRequestError, ManifestError
from service.manifests.build import build_manifest
from service.manifests.images import (
    FASHION_MNIST_CLASSES,
    digits_source,
    folder_source,
    idx_source,
    torchvision_source,
)
from service.manifests.plan import BuildOptions
from tests.manifests import DEFAULTS, picture, require_registrable, rows_of


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "built" / "manifest.parquet"


# Folders


def image_folder(root: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, form="JPEG" if path.suffix == ".jpg" else "PNG"))


def test_a_folder_of_splits_and_classes_becomes_a_manifest(tmp_path: Path, target: Path) -> None:
    image_folder(tmp_path / "d", ["train/cat/1.png", "train/dog/1.jpg", "val/dog/2.PNG", "train/cat/.x/3.png"])
    (tmp_path / "d" / "train" / "cat" / "notes.txt").write_text("no image")

    built = build_manifest(folder_source(tmp_path / "d"), target, DEFAULTS)

    assert [(row["sample_id"], row["split"], row["label"]) for row in rows_of(built)] == [
        ("train/cat/1.png", "train", 0),
        ("train/dog/1.jpg", "train", 1),
        ("val/dog/2.PNG", "heldout", 1),
    ]
    assert built.classes == ("cat", "dog")
    require_registrable(built, tmp_path)


def test_a_folder_of_classes_needs_a_share_to_hold_out(tmp_path: Path, target: Path) -> None:
    image_folder(tmp_path / "d", [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(10)])

    with pytest.raises(InvalidRequestError, match="heldout_share"):
        build_manifest(folder_source(tmp_path / "d"), target, DEFAULTS)
    built = build_manifest(folder_source(tmp_path / "d"), target, BuildOptions(heldout_share=0.3))

    assert {(split, label): count for split, label, count in built.counts} == {
        (Split.TRAIN, 0): 7, (Split.TRAIN, 1): 7, (Split.HELDOUT, 0): 3, (Split.HELDOUT, 1): 3,
    }  # fmt: skip


@pytest.mark.parametrize("names", [[], ["1.png"], ["train/1.png"], ["a/b/c/1.png"]])
def test_a_folder_without_classes_of_images_is_refused(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "d").mkdir()
    image_folder(tmp_path / "d", names)

    with pytest.raises(ManifestError, match="no images"):
        folder_source(tmp_path / "d")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no folder"):
        folder_source(tmp_path / "none")


# Data sets


def write_idx(folder: Path, *, compressed: bool = True, rows: int = 5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if compressed else open
    suffix = ".gz" if compressed else ""
    for part in ("train", "t10k"):
        pixels = b"".join(bytes([row]) * 6 for row in range(rows))
        with opened(folder / f"{part}-images-idx3-ubyte{suffix}", "wb") as file:
            file.write(struct.pack(">4I", 2051, rows, 2, 3) + pixels)
        with opened(folder / f"{part}-labels-idx1-ubyte{suffix}", "wb") as file:
            file.write(struct.pack(">2I", 2049, rows) + bytes(row % 10 for row in range(rows)))


@pytest.mark.parametrize("compressed", [True, False])
def test_idx_files_become_a_manifest(tmp_path: Path, target: Path, compressed: bool) -> None:
    write_idx(tmp_path / "idx", compressed=compressed)
    built = build_manifest(idx_source(tmp_path / "idx", FASHION_MNIST_CLASSES), target, DEFAULTS)

    assert built.rows == 10
    assert built.classes == FASHION_MNIST_CLASSES
    row = rows_of(built)[7]
    assert (row["sample_id"], row["split"], row["label"]) == ("heldout-000002", "heldout", 2)
    with Image.open(io.BytesIO(row["image"])) as image:
        assert (image.size, image.mode, image.tobytes()) == ((3, 2), "L", bytes([2]) * 6)
    require_registrable(built, tmp_path)


def damage_header(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2049, 5, 2, 3))


def truncate(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def fewer_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 1) + b"\x01")


@pytest.mark.parametrize(
    ("damage", "message"),
    [(damage_header, "no IDX file"), (truncate, "ends too early"), (fewer_labels, "5 images for 1 labels")],
)
def test_damaged_idx_files_are_refused(
    tmp_path: Path, target: Path, damage: Callable[[Path], None], message: str
) -> None:
    write_idx(tmp_path / "idx", compressed=False)
    damage(tmp_path / "idx")

    with pytest.raises(ManifestError, match=message):
        build_manifest(idx_source(tmp_path / "idx"), target, DEFAULTS)


def test_a_damaged_gzip_is_refused(tmp_path: Path, target: Path) -> None:
    write_idx(tmp_path / "idx")
    path = tmp_path / "idx" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])

    with pytest.raises(ManifestError, match="damaged"):
        build_manifest(idx_source(tmp_path / "idx"), target, DEFAULTS)


def test_missing_idx_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no train-images-idx3-ubyte"):
        idx_source(tmp_path)


def test_digits_become_a_manifest(tmp_path: Path, target: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install -e '.[worker]'")
    built = build_manifest(digits_source(), target, BuildOptions(heldout_share=0.2, limits={Split.TRAIN: 100}))

    assert {label for _, label, _ in built.counts} == set(range(10))
    assert sum(count for split, _, count in built.counts if split is Split.TRAIN) == 100
    with Image.open(io.BytesIO(rows_of(built)[0]["image"])) as image:
        assert (image.size, image.mode) == ((8, 8), "L")
        assert max(image.tobytes()) > 200
    require_registrable(built, tmp_path)


@pytest.fixture
def torchvision_root(tmp_path: Path) -> Path:
    """A tiny FashionMNIST where torchvision looks for it."""
    write_idx(tmp_path / "root" / "FashionMNIST" / "raw", compressed=False)
    return tmp_path / "root"


def test_a_data_set_of_torchvision_becomes_a_manifest(tmp_path: Path, target: Path, torchvision_root: Path) -> None:
    pytest.importorskip("torchvision", reason="needs torchvision: pip install -e '.[worker]'")
    built = build_manifest(torchvision_source("FashionMNIST", torchvision_root), target, DEFAULTS)
    from_files = build_manifest(
        idx_source(torchvision_root / "FashionMNIST" / "raw", FASHION_MNIST_CLASSES), tmp_path / "idx", DEFAULTS
    )

    assert rows_of(built) == rows_of(from_files)
    assert built.classes == FASHION_MNIST_CLASSES


def test_a_data_set_that_is_not_there_is_not_downloaded(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="needs torchvision: pip install -e '.[worker]'")

    with pytest.raises(ManifestError, match=r"CIFAR10.*--download"):
        torchvision_source("CIFAR10", tmp_path)


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="must be one of CIFAR10"):
        torchvision_source("ImageFolder", tmp_path)


@pytest.fixture
def without_worker_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchvision", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_worker_packages")
def test_a_control_plane_without_torch_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="needs torchvision: pip install"):
        torchvision_source("MNIST", tmp_path)
    with pytest.raises(InvalidRequestError, match="needs scikit-learn: pip install"):
        digits_source()
