import io
import itertools
import os
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mcu_core.errors import ArchitectureError, DataError
from service.demo_data import DIGITS_HELDOUT_SHARE
from service.domain.manifest import Split
from service.errors import ManifestError
from service.manifests.build import build_manifest
from service.manifests.images import digits_source
from service.manifests.plan import BuildOptions, Sample
from service.worker import research
from service.worker.research import ResearchData, load_research_data
from tests.manifests import picture, sample, source_of

DIGITS = "61aebe5cefb2f4db940da2550dd5f70523496745678e21116a5104870bb3319e"
COLOURS = ((250, 10, 0), (0, 120, 60), (30, 30, 30), (90, 200, 255))


def colour_sample(number: int, split: Split) -> Sample:
    def load() -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (6, 6), COLOURS[number % 4]).save(buffer, format="PNG")
        return buffer.getvalue()

    return Sample(sample_id=f"{split.value}{number}", split=split, label=number % 3, load=load)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    train = [colour_sample(number, Split.TRAIN) for number in range(4)]
    heldout = [colour_sample(number, Split.HELDOUT) for number in range(2)]
    return build_manifest(source_of([*train, *heldout]), tmp_path / "colours.parquet", BuildOptions()).path


def load(
    manifest: Path,
    *,
    model: str = "preresnet8",
    image_size: int | None = None,
    channels: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ResearchData:
    folder = manifest.parent / "kept"
    return load_research_data(
        manifest, model, folder, image_size=image_size, channels=channels, progress=progress
    )  # fmt: skip


def of_sizes(folder: Path, *sizes: tuple[int, int]) -> Path:
    """Return a manifest of grey pictures."""
    splits = (Split.TRAIN, Split.TRAIN, Split.HELDOUT)
    samples = [
        replace(sample(number, split=split, label=number % 2), load=partial(picture, number, size=size))
        for number, (split, size) in enumerate(zip(splits, itertools.cycle(sizes), strict=False))
    ]
    return build_manifest(source_of(samples), folder / "sizes.parquet", BuildOptions()).path


def test_the_network_s_input_is_that_of_the_images(manifest: Path) -> None:
    architecture = load(manifest).architecture
    assert (architecture.name, architecture.classes) == ("preresnet8", 3)
    assert (architecture.channels, architecture.image_size) == (3, 6)


def test_statistics_are_those_of_the_training_pixels(manifest: Path) -> None:
    pixels = np.array(COLOURS) / 255.0
    architecture = load(manifest).architecture
    assert architecture.mean == pytest.approx(pixels.mean(axis=0), abs=5e-4)
    assert architecture.std == pytest.approx(pixels.std(axis=0), abs=5e-4)


def test_splits_are_the_manifest_s(manifest: Path) -> None:
    samples = load(manifest).samples
    assert (samples.train.tolist(), samples.heldout.tolist()) == ([0, 1, 2, 3], [4, 5])
    assert samples.data.images[1, :, 0, 0].tolist() == list(COLOURS[1])


def test_what_was_decoded_before_is_not_decoded_again(manifest: Path) -> None:
    first, told = load(manifest), list[tuple[int, int]]()
    second = load(manifest, progress=lambda done, total: told.append((done, total)))
    assert told == [(6, 6)]
    assert second.samples.digest == first.samples.digest
    assert second.architecture == first.architecture


def test_an_interrupted_decoding_goes_on_where_it_was(manifest: Path) -> None:
    told: list[int] = []

    def interrupt(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(manifest, progress=interrupt)
    load(manifest, progress=lambda done, _total: told.append(done))
    assert told[0] >= 4


def test_what_was_cut_short_is_decoded_again(manifest: Path) -> None:
    whole = load(manifest).samples.digest
    (kept,) = (manifest.parent / "kept").rglob("*.pixels")
    os.truncate(kept, kept.stat().st_size - 50)
    assert load(manifest).samples.digest == whole


def test_images_are_mapped_from_the_disk(manifest: Path) -> None:
    data = load(manifest)
    address = data.samples.data.images.data_ptr()
    (kept,) = (manifest.parent / "kept").rglob("*.pixels")
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(kept) in line]
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in mapped]
    assert any(low <= address < high for low, high in ranges)


def test_statistics_take_a_small_part_of_the_images_memory() -> None:
    images = np.zeros((8192, 1, 64, 64), dtype=np.uint8)
    tracemalloc.start()
    try:
        research._statistics(images, np.arange(len(images)))
        assert tracemalloc.get_traced_memory()[1] < images.nbytes / 2
    finally:
        tracemalloc.stop()


def test_counting_pixels_in_parts_changes_no_statistic(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(manifest).architecture
    monkeypatch.setattr(research, "_BYTES_PER_COUNT", 1)
    assert load(manifest).architecture == whole


def test_digits_keep_the_digest_and_the_statistics_that_their_results_are_kept_under(tmp_path: Path) -> None:
    """Both are part of every cell of these data: with others, all that was measured would be measured again."""
    options = BuildOptions(heldout_share=DIGITS_HELDOUT_SHARE)
    built = build_manifest(digits_source(), tmp_path / "digits.parquet", options)
    data = load(built.path)
    assert data.samples.digest == DIGITS
    assert (data.architecture.mean, data.architecture.std) == ((0.306,), (0.377,))


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    assert load(of_sizes(tmp_path, (8, 8))).architecture.channels == 1


def test_data_without_held_out_samples_are_refused(tmp_path: Path) -> None:
    built = build_manifest(source_of([sample(1), sample(2)]), tmp_path / "train.parquet", BuildOptions())
    with pytest.raises(DataError, match="2 training and 0 held-out samples"):
        load(built.path)


def test_two_that_decode_at_once_both_get_the_data(manifest: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load, [manifest, manifest])
    assert first.samples.data.images.equal(second.samples.data.images)
    assert len(list((manifest.parent / "kept").iterdir())) == 1


@pytest.mark.parametrize("sizes", [[(8, 8), (6, 6)], [(8, 6)], [(1100, 1100)], [(2, 2)]])
def test_images_without_one_size_are_refused_unless_it_is_said(sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    manifest = of_sizes(tmp_path, *sizes)
    with pytest.raises(DataError, match="--image-size says"):
        load(manifest)
    data = load(manifest, image_size=12)
    assert data.architecture.image_size == 12
    assert data.samples.data.images.shape == (3, 1, 12, 12)


def test_grey_images_become_rgb_where_asked(tmp_path: Path) -> None:
    data = load(of_sizes(tmp_path, (8, 8)), channels=3)
    images = data.samples.data.images
    assert (data.architecture.channels, len(data.architecture.mean)) == (3, 3)
    assert images[:, 1:].equal(images[:, :1].expand(-1, 2, -1, -1))


@pytest.mark.parametrize(("model", "option"), [("torchvision:resnet18", "--channels 3"), ("nothing", "there is no")])
def test_a_network_that_does_not_take_the_images_is_refused_before_decoding(
    model: str, option: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchitectureError, match=option):
        load(of_sizes(tmp_path, (8, 8)), model=model)
    assert not (tmp_path / "kept").exists()


def test_images_too_small_for_a_network_are_refused_before_decoding(tmp_path: Path) -> None:
    manifest = of_sizes(tmp_path, (8, 8))
    with pytest.raises(ArchitectureError, match="--image-size"):
        load(manifest, model="torchvision:alexnet", channels=3)
    assert load(manifest, model="torchvision:alexnet", channels=3, image_size=64).architecture.image_size == 64


def test_a_manifest_without_labels_is_refused(manifest: Path) -> None:
    pq.write_table(pq.read_table(manifest).drop_columns(["label"]), manifest)
    with pytest.raises(ManifestError, match="no column label"):
        load(manifest)
