"""Data sets that are images: folders, torchvision's, IDX files, scikit-learn's digits."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from service.domain.manifest import Split
from service.errors import FieldViolation, InvalidRequestError, ManifestError
from service.manifests.build import png_of
from service.manifests.plan import Sample, SampleSource
from service.manifests.tables import split_of

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp"})
TORCHVISION_NAMES = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS")
"""torchvision's classification data sets that take root, train and download."""
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_IDX_FILES = {Split.TRAIN: "train", Split.HELDOUT: "t10k"}
_IDX_IMAGES_MAGIC, _IDX_LABELS_MAGIC = 2051, 2049
_DIGITS_WHITE = 16
"""Brightest value of scikit-learn's digits."""


def folder_source(root: Path) -> SampleSource:
    """Read `root/split/class/image` where every folder of the root names a split, else `root/class/image`.

    The first is the layout of ImageNet and ImageNet-100 (`train/<wnid>/*.JPEG`, `val/<wnid>/*.JPEG`). A sample's id is
    its path below the root.

    Raises:
        ManifestError: there is no such folder, or it has no images.
    """
    if not root.is_dir():
        raise ManifestError(f"there is no folder {root}")
    folders = _subfolders(root)
    has_splits = bool(folders) and all(split_of(folder.name) for folder in folders)
    classes = [
        (split_of(folder.name) if has_splits else None, below)
        for folder in folders
        for below in (_subfolders(folder) if has_splits else [folder])
    ]
    if not any(True for _, folder in classes for _ in images_in(folder)):
        raise ManifestError(f"there are no images in {root}/class or {root}/split/class")

    def samples() -> Iterator[Sample]:
        for split, folder in classes:
            for path in images_in(folder):
                yield Sample(
                    sample_id=path.relative_to(root).as_posix(),
                    split=split,
                    label=folder.name,
                    load=path.read_bytes,
                    path=path,
                )

    return SampleSource(samples=samples)


def torchvision_source(name: str, root: Path, *, download: bool = False) -> SampleSource:
    """Read one of torchvision's data sets: its training part as train, its test part as held-out.

    CIFAR's Python version is pickles, which torchvision loads only after their MD5 was found to be the published one;
    `cifar_source` reads the binary version without any.

    Raises:
        InvalidRequestError: torchvision is missing or has no such data set.
        ManifestError: the data set is not there and was not to be downloaded.
    """
    if name not in TORCHVISION_NAMES:
        raise InvalidRequestError(
            FieldViolation(field="dataset", description=f"must be one of {', '.join(TORCHVISION_NAMES)}")
        )
    try:
        import torchvision  # noqa: PLC0415 - the control plane has no torch
    except ImportError as error:
        raise InvalidRequestError(
            FieldViolation(field="dataset", description="needs torchvision: pip install 'unlearning-service[worker]'")
        ) from error
    try:
        parts = {
            split: getattr(torchvision.datasets, name)(root=str(root), train=split is Split.TRAIN, download=download)
            for split in (Split.TRAIN, Split.HELDOUT)
        }
    except (RuntimeError, OSError) as error:
        raise ManifestError(f"torchvision cannot read {name} in {root}; --download fetches it") from error

    def samples() -> Iterator[Sample]:
        for split, part in parts.items():
            labels = [int(label) for label in part.targets]
            for index, label in enumerate(labels):
                yield Sample(
                    sample_id=f"{split.value}-{index:06d}", split=split, label=label, load=_loading(part, index)
                )

    return SampleSource(samples=samples, classes=tuple(getattr(parts[Split.TRAIN], "classes", ())) or None)


def idx_source(folder: Path, classes: tuple[str, ...] | None = None) -> SampleSource:
    """Read the four IDX files of the MNIST family (`train-images-idx3-ubyte` ..., plain or .gz).

    Raises:
        ManifestError: a file is missing; reading it tells of a damaged one.
    """
    files = {
        split: (_idx_file(folder, f"{part}-images-idx3-ubyte"), _idx_file(folder, f"{part}-labels-idx1-ubyte"))
        for split, part in _IDX_FILES.items()
    }

    def samples() -> Iterator[Sample]:
        for split, (images, labels) in files.items():
            found = _idx_labels(labels)
            for index, (image, label) in enumerate(zip(_idx_images(images, len(found)), found, strict=True)):
                yield Sample(sample_id=f"{split.value}-{index:06d}", split=split, label=label, load=_encoding(image))

    return SampleSource(samples=samples, classes=classes)


def digits_source() -> SampleSource:
    """Read scikit-learn's 1 797 digits of 8 x 8 pixels, which are part of its package; they know no splits.

    Raises:
        InvalidRequestError: scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - the control plane has no scikit-learn
    except ImportError as error:
        raise InvalidRequestError(
            FieldViolation(field="dataset", description="needs scikit-learn: pip install 'unlearning-service[worker]'")
        ) from error
    digits = load_digits()
    pictures = (digits.images * (255 / _DIGITS_WHITE)).round().astype("uint8")

    def samples() -> Iterator[Sample]:
        for index, (picture, label) in enumerate(zip(pictures, digits.target, strict=True)):
            yield Sample(
                sample_id=f"digit-{index:04d}", split=None, label=int(label), load=_encoding(Image.fromarray(picture))
            )

    return SampleSource(samples=samples)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the image files of a folder, sorted."""
    yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _loading(part: Any, index: int) -> Callable[[], bytes]:
    return lambda: png_of(part[index][0])


def _encoding(image: Image.Image) -> Callable[[], bytes]:
    return lambda: png_of(image)


def _idx_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ManifestError(f"there is no {name} (or {name}.gz) in {folder}")


def _idx_images(path: Path, expected: int) -> Iterator[Image.Image]:
    with _open_idx(path) as file:
        count, height, width = _idx_header(file, path, _IDX_IMAGES_MAGIC, dimensions=3)
        if count != expected:
            raise ManifestError(f"{path.name} has {count} images for {expected} labels")
        for _ in range(count):
            yield Image.frombytes("L", (width, height), _read(file, path, height * width))


def _idx_labels(path: Path) -> bytes:
    with _open_idx(path) as file:
        (count,) = _idx_header(file, path, _IDX_LABELS_MAGIC, dimensions=1)
        return _read(file, path, count)


def _open_idx(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _idx_header(file: io.BufferedIOBase, path: Path, magic: int, *, dimensions: int) -> tuple[int, ...]:
    found, *sizes = struct.unpack(f">{dimensions + 1}I", _read(file, path, 4 * (dimensions + 1)))
    if found != magic:
        raise ManifestError(f"{path.name} is no IDX file of {dimensions} dimension(s) of bytes")
    return tuple(sizes)


def _read(file: io.BufferedIOBase, path: Path, count: int) -> bytes:
    try:
        content = file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestError(f"{path.name} is damaged") from error
    if len(content) != count:
        raise ManifestError(f"{path.name} ends too early")
    return content
