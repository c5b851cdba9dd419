import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mcu_core.errors import DataError
from service.domain.manifest import Split
from service.errors import ManifestError
from service.manifests.build import build_manifest
from service.manifests.plan import BuildOptions, Sample
from service.worker.research import ResearchData, load_research_data
from tests.manifests import sample, source_of

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


def load(manifest: Path) -> ResearchData:
    return load_research_data(manifest, "preresnet8", manifest.parent / "kept")


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


def test_what_was_decoded_before_is_read_back_alike(manifest: Path) -> None:
    first = load(manifest)
    (kept,) = (manifest.parent / "kept").iterdir()
    before = kept.stat().st_mtime_ns
    second = load(manifest)
    assert kept.stat().st_mtime_ns == before
    assert second.samples.data.images.equal(first.samples.data.images)
    assert second.architecture == first.architecture


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    splits = (Split.TRAIN, Split.TRAIN, Split.HELDOUT)
    samples = [sample(number, split=split, label=number % 2) for number, split in enumerate(splits)]
    built = build_manifest(source_of(samples), tmp_path / "grey.parquet", BuildOptions())
    assert load(built.path).architecture.channels == 1


def test_data_without_held_out_samples_are_refused(tmp_path: Path) -> None:
    built = build_manifest(source_of([sample(1), sample(2)]), tmp_path / "train.parquet", BuildOptions())
    with pytest.raises(DataError, match="2 training and 0 held-out samples"):
        load(built.path)


def test_two_that_decode_at_once_both_get_the_data(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, replace = Barrier(2, timeout=60), Path.replace

    def in_step(partial: Path, target: Path) -> Path:
        written.wait()
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", in_step)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(load, [manifest, manifest])
    assert first.samples.data.images.equal(second.samples.data.images)
    assert len(list((manifest.parent / "kept").iterdir())) == 1


def test_a_manifest_without_labels_is_refused(manifest: Path) -> None:
    pq.write_table(pq.read_table(manifest).drop_columns(["label"]), manifest)
    with pytest.raises(ManifestError, match="no column label"):
        load(manifest)
