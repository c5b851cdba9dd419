"""Small data sets laid out on disk as the well-known ones are: noise, with a bright row that tells the class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES, TRAIN, HELD_OUT = 3, 8, 4
"""Images of each class and split."""
WNIDS = ("n01443537", "n01629819", "n02123045")

Save = Callable[[Path, NDArray[np.uint8]], None]


def picture(label: int, number: int, *, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Return an image, uint8 `[H, W, 3]`."""
    pixels = np.random.default_rng(1000 * label + number).integers(0, 100, (height, width, 3), dtype=np.uint8)
    pixels[height * label // CLASSES] = 255
    return pixels


def save_jpeg(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)


def lay_out_cifar10(folder: Path) -> None:
    """Write the six files of CIFAR-10's binary version, and the names."""
    folder.mkdir(parents=True)
    for file in range(6):
        count = HELD_OUT if file == 5 else TRAIN // 4
        records = [
            bytes([label]) + picture(label, 100 * file + number).transpose(2, 0, 1).tobytes()
            for number in range(count)
            for label in range(CLASSES)
        ]
        name = "test_batch.bin" if file == 5 else f"data_batch_{file + 1}.bin"
        (folder / name).write_bytes(b"".join(records))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")


def lay_out_imagenet(root: Path) -> None:
    """Write `train/<wnid>/*.JPEG` and `val/<wnid>/*.JPEG` of many sizes, some of them grey."""
    for label, wnid in enumerate(WNIDS):
        for number in range(TRAIN + HELD_OUT):
            pixels = picture(label, number, height=40 + number, width=60 - label)
            split, name = ("train", f"{wnid}_{number}") if number < TRAIN else ("val", f"ILSVRC2012_val_{number:08d}")
            save_jpeg(root / split / wnid / f"{name}.JPEG", pixels if number % 5 else pixels[:, :, 0])


def lay_out_tiny_imagenet(root: Path) -> None:
    """Write Tiny-ImageNet's folders and lists, its test images without labels included."""
    lines = []
    for label, wnid in enumerate(WNIDS):
        for number in range(TRAIN):
            save_jpeg(
                root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", picture(label, number, height=64, width=64)
            )
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("")
        for number in range(HELD_OUT):
            name = f"val_{CLASSES * number + label}.JPEG"
            save_jpeg(root / "val" / "images" / name, picture(label, TRAIN + number, height=64, width=64))
            lines.append(f"{name}\t{wnid}\t0\t0\t63\t63")
    save_jpeg(root / "test" / "images" / "test_0.JPEG", picture(0, 99, height=64, width=64))
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "wnids.txt").write_text("\n".join(reversed(WNIDS)) + "\n")
    (root / "words.txt").write_text("\n".join(f"{wnid}\tfish" for wnid in WNIDS))
