"""Tiny-ImageNet as published: a folder for each class, and one for all validation images with a list of labels."""

from collections.abc import Iterator
from pathlib import Path

from service.domain.manifest import Split
from service.errors import ManifestError
from service.manifests.images import images_in
from service.manifests.plan import Sample, SampleSource

_CLASSES, _ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"


def is_tiny_imagenet(root: Path) -> bool:
    """Return whether a folder looks like the data set."""
    return (root / _CLASSES).is_file() and (root / _ANNOTATIONS).is_file()


def tiny_imagenet_source(root: Path) -> SampleSource:
    """Read `train/<wnid>/images/*.JPEG`, and `val/images/*.JPEG` with `val/val_annotations.txt` as held-out.

    A sample's id is its path below the root; a class is a WordNet id, numbered in the order of the alphabet, as
    torchvision's ImageFolder does. `test` has no labels and is left out.

    Raises:
        ManifestError: a file or the images of a class are missing, or the annotations name what is not there.
    """
    if not is_tiny_imagenet(root):
        raise ManifestError(f"there is no {_CLASSES} and {_ANNOTATIONS} in {root}")
    classes = sorted(set((root / _CLASSES).read_text(encoding="ascii", errors="replace").split()))
    folders = {wnid: root / "train" / wnid / "images" for wnid in classes}
    if missing := sum(not folder.is_dir() for folder in folders.values()):
        raise ManifestError(f"{missing} of {len(classes)} classes have no folder train/<class>/images")
    labels = _annotations(root, frozenset(classes))

    def samples() -> Iterator[Sample]:
        for wnid, folder in folders.items():
            for path in images_in(folder):
                yield _sample(root, path, Split.TRAIN, wnid)
        for name, wnid in labels.items():
            yield _sample(root, root / "val" / "images" / name, Split.HELDOUT, wnid)

    return SampleSource(samples=samples)


def _sample(root: Path, path: Path, split: Split, wnid: str) -> Sample:
    return Sample(sample_id=path.relative_to(root).as_posix(), split=split, label=wnid, load=path.read_bytes, path=path)


def _annotations(root: Path, classes: frozenset[str]) -> dict[str, str]:
    """Return the class of each validation image, by file name."""
    present = (
        {path.name for path in images_in(root / "val" / "images")} if (root / "val" / "images").is_dir() else set()
    )
    labels: dict[str, str] = {}
    lines = (root / _ANNOTATIONS).read_text(encoding="ascii", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if name not in present or wnid not in classes or name in labels:
            raise ManifestError(
                f"line {number} of {_ANNOTATIONS} names no image, no class, or an image for the second time"
            )
        labels[name] = wnid
    if unlabelled := len(present) - len(labels):
        raise ManifestError(f"{unlabelled} of {len(present)} validation images have no line in {_ANNOTATIONS}")
    return labels
