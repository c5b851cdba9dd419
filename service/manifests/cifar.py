"""CIFAR-10 and CIFAR-100 in their binary version: labels and pixels as plain bytes, nothing that could be executed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from service.domain.manifest import Split
from service.errors import ManifestError
from service.manifests.build import png_of
from service.manifests.plan import Sample, SampleSource

SIDE = 32
_PLANE = SIDE * SIDE
_IMAGE_BYTES = 3 * _PLANE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """One of the two data sets.

    Attributes:
        files: of each split, in the order of the samples.
        classes: how many there are.
        names: file with a class name a line.
        label_bytes: before each image; the last of them is the class (CIFAR-100's first one is the superclass).
    """

    files: dict[Split, tuple[str, ...]]
    classes: int
    names: str
    label_bytes: int


_LAYOUTS = (
    _Layout(
        files={
            Split.TRAIN: tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            Split.HELDOUT: ("test_batch.bin",),
        },
        classes=10,
        names="batches.meta.txt",
        label_bytes=1,
    ),
    _Layout(
        files={Split.TRAIN: ("train.bin",), Split.HELDOUT: ("test.bin",)},
        classes=100,
        names="fine_label_names.txt",
        label_bytes=2,
    ),
)


def is_cifar(folder: Path) -> bool:
    """Return whether a folder looks like one of the data sets."""
    return any(all((folder / name).is_file() for name in layout.files[Split.HELDOUT]) for layout in _LAYOUTS)


def cifar_source(folder: Path) -> SampleSource:
    """Read `cifar-10-batches-bin` or `cifar-100-binary`; ids and order are those of `torchvision:CIFAR10`.

    A record is one label byte (two in CIFAR-100) and 3 072 bytes of pixels: 1 024 red, green and blue ones, row by row.

    Args:
        folder: with the .bin files. The Python version of the data sets is pickles, which are not read here:
            torchvision loads those whose MD5 is the published one.

    Raises:
        ManifestError: a file is missing; reading it tells of one that ends too early.
    """
    if not is_cifar(folder):
        raise ManifestError(f"there is no test_batch.bin (CIFAR-10) or test.bin (CIFAR-100) in {folder}")
    layout = next(one for one in _LAYOUTS if (folder / one.files[Split.HELDOUT][0]).is_file())
    missing = [name for names in layout.files.values() for name in names if not (folder / name).is_file()]
    if missing:
        raise ManifestError(f"there is no {', '.join(missing)} in {folder}")

    def samples() -> Iterator[Sample]:
        for split, names in layout.files.items():
            records = (record for name in names for record in _records(folder / name, layout))
            for index, record in enumerate(records):
                label, pixels = record[layout.label_bytes - 1], record[layout.label_bytes :]
                yield Sample(sample_id=f"{split.value}-{index:06d}", split=split, label=label, load=_encoding(pixels))

    return SampleSource(samples=samples, classes=_class_names(folder / layout.names))


def _records(path: Path, layout: _Layout) -> Iterator[bytes]:
    length = layout.label_bytes + _IMAGE_BYTES
    with path.open("rb") as file:
        while record := file.read(length):
            if len(record) != length:
                raise ManifestError(f"{path.name} ends in the middle of an image")
            if record[layout.label_bytes - 1] >= layout.classes:
                raise ManifestError(f"{path.name} has a label above {layout.classes - 1}: it is damaged")
            yield record


def _encoding(pixels: bytes) -> Callable[[], bytes]:
    def load() -> bytes:
        planes = [
            Image.frombytes("L", (SIDE, SIDE), pixels[start : start + _PLANE]) for start in (0, _PLANE, 2 * _PLANE)
        ]
        return png_of(Image.merge("RGB", planes))

    return load


def _class_names(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    return tuple(line for line in path.read_text(encoding="ascii", errors="replace").split("\n") if line.strip())
