"""Decoding a manifest: every readable row once, whatever happened before."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import DataError
from service.pixel_files import open_pixels
from service.worker.samples import DecodedSamples, decode

GREY = ArchitectureConfig(name="preresnet8", classes=10, channels=1, image_size=4, mean=(0.5,), std=(0.25,))
COUNT = 700
"""Rows: several reads."""


def png(value: int, size: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), value).save(buffer, "PNG")
    return buffer.getvalue()


def shade(row: int) -> int:
    return 1 + row % 255


def write(
    path: Path, *, images: Sequence[bytes | None] | None = None, row_group_size: int = 100, **columns: Any
) -> Path:
    table = {
        "sample_id": [f"s{row}" for row in range(COUNT)],
        "split": ["train" if row % 7 else "heldout" for row in range(COUNT)],
        "label": [row % 10 for row in range(COUNT)],
        "image": [png(shade(row)) for row in range(COUNT)] if images is None else images,
        **columns,
    }
    pq.write_table(pa.table(table), path, row_group_size=row_group_size)
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write(tmp_path / "manifest.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "decoded"


def shades(decoded: DecodedSamples) -> list[int]:
    return decoded.data.images[:, 0, 2, 3].tolist()


@pytest.mark.parametrize("threads", [1, 3])
def test_every_row_has_its_own_pixels_and_label(manifest: Path, folder: Path, threads: int) -> None:
    decoded = decode(manifest, GREY, folder=folder, threads=threads)
    assert shades(decoded) == [shade(row) for row in range(COUNT)]
    assert decoded.data.images.shape == (COUNT, 1, 4, 4)
    assert decoded.data.labels.tolist() == [row % 10 for row in range(COUNT)]
    assert decoded.heldout.tolist() == list(range(0, COUNT, 7))
    assert sorted([*decoded.train, *decoded.heldout]) == list(range(COUNT))
    assert decoded.heldout_subjects[:2] == ("s0", "s7")


@pytest.mark.parametrize(("channels", "size"), [(1, 4), (3, 8)])
def test_pixels_are_pillows_of_the_asked_channels_and_size(tmp_path: Path, channels: int, size: int) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)) for _ in range(COUNT)]
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    architecture = GREY.model_copy(
        update={"channels": channels, "image_size": size, "mean": (0.5,) * channels, "std": (0.5,) * channels}
    )
    decoded = decode(write(tmp_path / "m.parquet", images=encoded), architecture, folder=tmp_path / "decoded")
    for row in (0, 5, COUNT - 1):
        picture = pictures[row].convert("L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
        expected = np.asarray(picture).reshape(size, size, channels).transpose(2, 0, 1)
        assert np.array_equal(decoded.data.images[row].numpy(), expected)


def test_rows_that_are_left_out_are_in_no_part_and_never_decoded(tmp_path: Path, folder: Path) -> None:
    broken = [png(shade(row)) if row != 3 else b"not to be read" for row in range(COUNT)]
    decoded = decode(write(tmp_path / "m.parquet", images=broken), GREY, folder=folder, left_out=[3, 7])
    assert not {3, 7} & {*decoded.train.tolist(), *decoded.heldout.tolist()}
    assert not decoded.data.images[[3, 7]].any()
    assert decoded.data.labels[[3, 7]].tolist() == [-1, -1]
    with pytest.raises(DataError, match="does not have"):
        decoded.positions([2, 3])


@pytest.mark.parametrize("row", [-1, COUNT])
def test_positions_outside_the_manifest_are_refused(manifest: Path, folder: Path, row: int) -> None:
    with pytest.raises(DataError, match="does not have"):
        decode(manifest, GREY, folder=folder).positions([row])


def test_rows_that_are_left_out_later_are_erased(manifest: Path, folder: Path) -> None:
    decode(manifest, GREY, folder=folder)
    decoded = decode(manifest, GREY, folder=folder, left_out=[3, 7])
    assert np.flatnonzero(np.asarray(shades(decoded)) == 0).tolist() == [3, 7]


def unreadable_but(path: Path, rows: Sequence[int]) -> Path:
    """Return the same manifest with images that cannot be decoded in all rows but these."""
    return write(path, images=[png(shade(row)) if row in rows else b"damaged" for row in range(COUNT)])


def test_nothing_is_decoded_twice(manifest: Path, folder: Path) -> None:
    first = decode(manifest, GREY, folder=folder)
    again = decode(unreadable_but(manifest, []), GREY, folder=folder)
    assert torch.equal(first.data.images, again.data.images)


def test_a_killed_decoding_goes_on_where_it_was(manifest: Path, folder: Path) -> None:
    def die(done: int, total: int) -> None:
        if done == 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(manifest, GREY, folder=folder, progress=die)
    decoded = decode(unreadable_but(manifest, range(400, COUNT)), GREY, folder=folder)
    assert shades(decoded) == [shade(row) for row in range(COUNT)]


def test_damaged_rows_are_decoded_again_and_no_others(manifest: Path, folder: Path) -> None:
    decode(manifest, GREY, folder=folder)
    (path,) = folder.glob("*.pixels")
    content = bytearray(path.read_bytes())
    content[5 * 16 + 2] ^= 1
    content[650 * 16] ^= 128
    path.write_bytes(content)
    decoded = decode(unreadable_but(manifest, [5, 650]), GREY, folder=folder)
    assert shades(decoded) == [shade(row) for row in range(COUNT)]


def test_progress_rises_to_the_number_of_readable_rows(manifest: Path, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    decode(manifest, GREY, folder=folder, left_out=[1], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, COUNT - 1) for done in range(COUNT)]


def test_what_another_version_decoded_is_decoded_again(manifest: Path, folder: Path) -> None:
    with open_pixels(folder, rows=COUNT, shape=(1, 4, 4), decoder="pillow-0") as file:
        for row in range(COUNT):
            file.write(row, np.full((1, 4, 4), 77, dtype=np.uint8))
    assert shades(decode(manifest, GREY, folder=folder)) == [shade(row) for row in range(COUNT)]


def test_canaries_that_were_kept_out_can_be_read_and_are_of_neither_split(tmp_path: Path, folder: Path) -> None:
    splits = ["canary" if row % 5 == 0 else "train" if row % 7 else "heldout" for row in range(COUNT)]
    decoded = decode(write(tmp_path / "m.parquet", split=splits), GREY, folder=folder, left_out=[10])

    assert decoded.canary.tolist() == [row for row in range(0, COUNT, 5) if row != 10]
    assert decoded.positions(decoded.canary.tolist()).tolist() == decoded.canary.tolist()
    assert [shades(decoded)[row] for row in decoded.canary] == [shade(row) for row in decoded.canary]
    for name, found in (("train", decoded.train), ("heldout", decoded.heldout)):
        assert found.tolist() == [row for row, split in enumerate(splits) if split == name]
    assert len(decoded.heldout_subjects) == len(decoded.heldout)


# What cannot be decoded


def test_a_split_that_no_manifest_has_is_named_by_its_row(tmp_path: Path, folder: Path) -> None:
    splits = ["train"] * COUNT
    splits[4] = "secret"
    with pytest.raises(DataError, match=r"^row 4: the split is none of train, heldout, canary$"):
        decode(write(tmp_path / "m.parquet", split=splits), GREY, folder=folder)


@pytest.mark.parametrize("row", [0, 300, COUNT - 1])
def test_a_corrupt_image_is_named_by_its_row(tmp_path: Path, folder: Path, row: int) -> None:
    images = [png(1)] * COUNT
    images[row] = b"\x89PNG damaged"
    with pytest.raises(DataError, match=f"^row {row}: the image cannot be decoded"):
        decode(write(tmp_path / "m.parquet", images=images), GREY, folder=folder, threads=2)


def test_a_label_without_an_output_is_named_by_its_row(tmp_path: Path, folder: Path) -> None:
    labels = [0] * COUNT
    labels[8] = 10
    with pytest.raises(DataError, match="row 8: label 10 is not in 0 to 9"):
        decode(write(tmp_path / "m.parquet", label=labels), GREY, folder=folder)


def test_an_image_of_another_digest_is_refused(tmp_path: Path, folder: Path) -> None:
    digests = [hashlib.sha256(png(shade(row))).hexdigest() for row in range(COUNT)]
    digests[9] = "0" * 64
    with pytest.raises(DataError, match="row 9: the image is not the one that its sha256 promises"):
        decode(write(tmp_path / "m.parquet", sha256=digests), GREY, folder=folder)


def test_images_are_read_from_files_that_the_manifest_names(tmp_path: Path, folder: Path) -> None:
    uris = []
    for row in range(COUNT):
        path = tmp_path / f"{row}.png"
        path.write_bytes(png(shade(row)))
        uris.append(path.as_uri())
    decoded = decode(write(tmp_path / "m.parquet", images=[None] * COUNT, uri=uris), GREY, folder=folder)
    assert shades(decoded) == [shade(row) for row in range(COUNT)]
