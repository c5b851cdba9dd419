"""What is written, what is chosen, and what is refused, whatever the data set."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.domain.manifest import Split
from service.errors import InvalidRequestError, ManifestError
from service.manifests.build import ROW_GROUP_BYTES, build_manifest, checked_image, png_of
from service.manifests.plan import BuildOptions, Sample, SampleSource
from tests.manifests import DEFAULTS, SECRET, picture, require_registrable, rows_of, sample, source_of


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "built" / "manifest.parquet"


# Writing


def test_a_manifest_has_the_samples_in_order(target: Path, tmp_path: Path) -> None:
    samples = [
        sample(1, label=2),
        replace(sample(2, split=Split.HELDOUT), subject_id="someone"),
        sample(3, label=2),
    ]
    built = build_manifest(source_of(samples), target, DEFAULTS)

    assert rows_of(built) == [
        {"sample_id": "s1", "split": "train", "label": 2, "subject_id": None, "image": picture(1)},
        {"sample_id": "s2", "split": "heldout", "label": 0, "subject_id": "someone", "image": picture(2)},
        {"sample_id": "s3", "split": "train", "label": 2, "subject_id": None, "image": picture(3)},
    ]
    assert built.digest == hashlib.sha256(target.read_bytes()).hexdigest()
    assert built.counts == ((Split.HELDOUT, 0, 1), (Split.TRAIN, 2, 2))
    assert built.classes is None
    require_registrable(built, tmp_path)


def test_the_same_data_give_the_same_digest(tmp_path: Path) -> None:
    digests = {
        build_manifest(source_of([sample(1), sample(2)]), tmp_path / name, DEFAULTS).digest for name in ("a", "b")
    }

    assert len(digests) == 1


def test_names_of_classes_become_sorted_indices(target: Path) -> None:
    samples = [sample(1, label="zebra"), sample(2, label="ant"), sample(3, label="10"), sample(4, label="ant")]
    built = build_manifest(source_of(samples), target, DEFAULTS)

    assert [row["label"] for row in rows_of(built)] == [2, 1, 0, 1]
    assert built.classes == ("10", "ant", "zebra")
    assert json.loads(pq.read_schema(target).metadata[b"classes"]) == ["10", "ant", "zebra"]


def test_whole_numbers_stay_class_indices(target: Path) -> None:
    built = build_manifest(source_of([sample(1, label="7"), sample(2, label=" 3".strip())]), target, DEFAULTS)

    assert [row["label"] for row in rows_of(built)] == [7, 3]
    assert built.classes is None


def test_images_of_many_megabytes_are_written_in_several_row_groups(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.manifests.build.ROW_GROUP_BYTES", 1000)
    samples = [sample(number) for number in range(100)]

    built = build_manifest(source_of(samples), target, DEFAULTS)

    assert ROW_GROUP_BYTES > 1000
    assert pq.ParquetFile(built.path).num_row_groups > 5
    assert [row["sample_id"] for row in rows_of(built)] == [f"s{number}" for number in range(100)]


def test_progress_is_told(target: Path) -> None:
    told: list[tuple[int, int]] = []

    build_manifest(
        source_of([sample(number) for number in range(3)]),
        target,
        DEFAULTS,
        progress=lambda done, total: told.append((done, total)),
    )

    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "no samples"),
        ([sample(1), sample(1), sample(1)], "2 of 3 samples have the id of an earlier one"),
        ([replace(sample(1), sample_id="")], "1 of 1 samples have no id"),
        ([replace(sample(1), sample_id="x" * 257)], "1 of 1 samples have no id"),
        ([replace(sample(1), sample_id="\ud800")], "1 of 1 samples have no id"),
        ([sample(1, label=-1), sample(2)], "1 of 2 samples have a label below 0"),
        ([sample(1, label=2**31)], "a label below 0 or above 2147483647"),
        ([sample(1, label=""), sample(2, label="a")], "1 of 2 samples have no label"),
        ([sample(1, split=None), sample(2)], "1 of 2 samples have no split"),
        ([sample(1, split=Split.HELDOUT)], "none of the 1 samples is in the train split"),
        ([sample(1), replace(sample(2), load=lambda: b"no image")], r"sample 1 \(counted from 0\).*no image"),
        ([replace(sample(1), load=lambda: picture(1)[:-20])], r"sample 0 \(counted from 0\)"),
        ([replace(sample(1), load=Path("/no/such/someone@example.org").read_bytes)], "No such file"),
    ],
)
def test_unusable_samples_are_told_by_count_or_position(target: Path, samples: list[Sample], message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        build_manifest(source_of(samples), target, DEFAULTS)
    assert SECRET not in str(caught.value)
    assert not target.exists()
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_failed_build_leaves_the_manifest_that_is_there(target: Path) -> None:
    before = build_manifest(source_of([sample(1)]), target, DEFAULTS)

    with pytest.raises(ManifestError):
        build_manifest(source_of([sample(1), replace(sample(2), load=lambda: b"")]), target, DEFAULTS)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == before.digest


def test_a_data_set_that_changes_between_the_passes_is_refused(target: Path) -> None:
    passes = iter([[sample(1)], [sample(1), sample(2)]])

    with pytest.raises(ManifestError, match="changed while it was read"):
        build_manifest(SampleSource(samples=lambda: iter(next(passes))), target, DEFAULTS)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_image_files_are_kept_byte_by_byte(form: str) -> None:
    assert checked_image(picture(7, form=form)) == picture(7, form=form)


@pytest.mark.parametrize("form", ["BMP", "TIFF", "PPM"])
def test_other_images_become_png_without_loss(form: str) -> None:
    with Image.open(io.BytesIO(checked_image(picture(7, form=form)))) as image:
        assert image.format == "PNG"
        assert image.tobytes() == bytes([7]) * 16


def test_an_image_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(ValueError, match="too large"):
        checked_image(picture(0, size=(15, 15)))


# Choices


def many(count: int, *, split: Split | None) -> SampleSource:
    return source_of([sample(number, split=split, label=number % 4) for number in range(count)])


def test_a_share_of_every_class_is_held_out(target: Path) -> None:
    built = build_manifest(many(400, split=None), target, BuildOptions(heldout_share=0.25))

    assert dict.fromkeys(range(4), 25) == {label: count for split, label, count in built.counts if split == "heldout"}
    assert dict.fromkeys(range(4), 75) == {label: count for split, label, count in built.counts if split == "train"}


def test_a_sample_is_held_out_by_seed_and_id_whatever_the_order(tmp_path: Path) -> None:
    def heldout(source: SampleSource, seed: int) -> set[object]:
        built = build_manifest(source, tmp_path / "m", BuildOptions(heldout_share=0.25, seed=seed))
        return {row["sample_id"] for row in rows_of(built) if row["split"] == "heldout"}

    forward = many(100, split=None)
    backward = source_of(list(forward.samples())[::-1])

    assert heldout(forward, 1) == heldout(backward, 1)
    assert heldout(forward, 1) != heldout(forward, 2)


def test_a_limit_keeps_so_many_of_a_split_and_loads_no_others(target: Path) -> None:
    loaded: list[int] = []

    def noting(number: int) -> Callable[[], bytes]:
        def load() -> bytes:
            loaded.append(number)
            return picture(0)

        return load

    samples = [replace(sample(n, split=Split.TRAIN if n % 2 else Split.HELDOUT), load=noting(n)) for n in range(100)]
    built = build_manifest(source_of(samples), target, BuildOptions(limits={Split.TRAIN: 10, Split.HELDOUT: 60}))

    assert Counter(row["split"] for row in rows_of(built)) == {"train": 10, "heldout": 50}
    assert len(loaded) == built.rows


@pytest.mark.parametrize(
    ("source", "options", "field"),
    [
        (many(4, split=None), {}, "heldout_share"),
        (many(4, split=Split.TRAIN), {"heldout_share": 0.5}, "heldout_share"),
        (many(4, split=Split.TRAIN), {"by_reference": True}, "by_reference"),
        (many(4, split=None), {"heldout_share": 1.0}, "heldout_share"),
        (many(4, split=None), {"heldout_share": 0.0}, "heldout_share"),
        (many(4, split=Split.TRAIN), {"limits": {Split.TRAIN: 0}}, "limits"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    target: Path, source: SampleSource, options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequestError, match=field):
        build_manifest(source, target, BuildOptions(**options))  # type: ignore[arg-type]  # wrong on purpose, in part


def test_a_png_holds_the_pixels(tmp_path: Path) -> None:
    with Image.open(io.BytesIO(png_of(Image.new("RGB", (2, 1), (1, 2, 3))))) as image:
        assert image.tobytes() == bytes([1, 2, 3] * 2)
