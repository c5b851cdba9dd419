import collections

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.config import ArchitectureConfig, WrongLabels
from mcu_core.data import (
    BatchReader,
    MixedBatches,
    PlainBatches,
    RelabelledBatches,
    match_classes,
    random_labels,
    subsample,
)
from mcu_core.errors import DataError
from mcu_core.images import ImageData

CPU = torch.device("cpu")
GREY = ArchitectureConfig(name="preresnet8", classes=10, channels=1, image_size=4, mean=(0.5,), std=(0.25,))


def numbered(count: int) -> BatchReader:
    """Return samples whose label is their own position."""
    data = ImageData(images=torch.zeros(count, 1, 4, 4, dtype=torch.uint8), labels=torch.arange(count))
    return BatchReader(data=data, architecture=GREY, device=CPU)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


sizes = st.integers(1, 60)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.integers(2, 40), st.integers(0, 5))
def test_every_mixed_batch_has_the_same_number_of_forget_and_retain_rows(f: int, r: int, size: int, seed: int) -> None:
    batches = MixedBatches(reader=numbered(f + r), forget=torch.arange(f), retain=torch.arange(f, f + r), size=size)
    drawn = list(batches.draw(seeded(seed)))
    assert len(drawn) == batches.steps
    shapes = {(batch.forget_count, len(batch.labels)) for batch in drawn}
    assert len(shapes) == 1
    ((forget_count, total),) = shapes
    assert 1 <= forget_count < total <= max(2, size + 1)
    for batch in drawn:
        assert bool((batch.labels[:forget_count] < f).all())
        assert bool((batch.labels[forget_count:] >= f).all())


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.integers(2, 40))
def test_an_epoch_of_mixed_batches_reads_every_row(f: int, r: int, size: int) -> None:
    batches = MixedBatches(reader=numbered(f + r), forget=torch.arange(f), retain=torch.arange(f, f + r), size=size)
    read = torch.cat([batch.labels for batch in batches.draw(seeded())])
    assert set(read.tolist()) == set(range(f + r))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 100), st.integers(2, 40))
def test_an_epoch_of_plain_batches_reads_every_row_in_batches_of_one_size(count: int, size: int) -> None:
    batches = PlainBatches(reader=numbered(count), rows=torch.arange(count), size=size)
    drawn = [batch.labels for batch in batches.draw(seeded())]
    assert len(drawn) == batches.steps
    assert len({len(labels) for labels in drawn}) == 1
    assert len(drawn[0]) <= size
    times = collections.Counter(torch.cat(drawn).tolist())
    assert set(times) == set(range(count))
    assert max(times.values()) <= 2


@pytest.mark.parametrize(("f", "weight"), [(1, 0.1), (4, 0.4), (10, 1.0), (30, 1.0)])
def test_rows_that_are_in_more_batches_than_their_share_weigh_less(f: int, weight: float) -> None:
    batches = MixedBatches(reader=numbered(100), forget=torch.arange(f), retain=torch.arange(f, 100), size=10)
    assert {batch.forget_weight for batch in batches.draw(seeded())} == {weight}


def test_batches_repeat_with_their_seed_and_differ_without() -> None:
    batches = PlainBatches(reader=numbered(50), rows=torch.arange(50), size=50)
    first, again, other = (next(batches.draw(seeded(seed))).labels for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reading_normalises_pixels_of_the_unit_interval() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    reader = BatchReader(data=ImageData(images=images, labels=torch.tensor([0, 1, 2])), architecture=GREY, device=CPU)
    batch = reader.read(torch.tensor([2, 1]))
    torch.testing.assert_close(batch.images[:, 0, 0, 0], torch.tensor([2.0, -1.2]))
    assert batch.labels.tolist() == [2, 1]
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_reading_resizes_samples_of_another_size() -> None:
    images = torch.full((1, 1, 9, 7), 255, dtype=torch.uint8)
    reader = BatchReader(data=ImageData(images=images, labels=torch.tensor([0])), architecture=GREY, device=CPU)
    torch.testing.assert_close(reader.read(torch.tensor([0])).images, torch.full((1, 1, 4, 4), 2.0))


def test_reading_refuses_another_number_of_channels() -> None:
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    reader = BatchReader(data=ImageData(images=images, labels=torch.tensor([0])), architecture=GREY, device=CPU)
    with pytest.raises(DataError, match="3 channels"):
        reader.read(torch.tensor([0]))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 9))
def test_matched_rows_have_the_class_proportions_of_what_they_match(wanted: list[int], seed: int) -> None:
    like = torch.tensor(wanted)
    pool = torch.randint(0, 4, (200,), generator=seeded(seed))
    pool[:4] = torch.arange(4)
    labels = torch.cat([like, pool])
    rows = torch.arange(len(like), len(labels))
    drawn = match_classes(labels, rows, like, seeded(seed))
    assert len(set(drawn.tolist())) == len(drawn)
    have = collections.Counter(labels[drawn].tolist())
    need = collections.Counter(wanted)
    assert set(have) == set(need)
    available = collections.Counter(pool.tolist())
    scale = min(available[label] / count for label, count in need.items())
    for label, count in need.items():
        assert have[label] == max(1, int(scale * count + 1e-9))


def test_matching_refuses_a_class_without_rows() -> None:
    labels = torch.tensor([0, 1, 1, 0, 0])
    with pytest.raises(DataError, match="2 of 3 samples"):
        match_classes(labels, torch.tensor([3, 4]), torch.tensor([0, 1, 1]), seeded())


def test_a_subsample_is_drawn_without_replacement_and_in_order() -> None:
    drawn = subsample(torch.arange(100), 30, seeded()).tolist()
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 30


def test_a_subsample_of_more_than_everything_is_everything() -> None:
    assert subsample(torch.arange(3), 5, seeded()).tolist() == [0, 1, 2]


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(2, 40))
def test_forget_indices_name_the_samples_of_the_forget_rows(f: int, r: int, size: int) -> None:
    forget = torch.arange(f).flip(0)
    batches = MixedBatches(reader=numbered(f + r), forget=forget, retain=torch.arange(f, f + r), size=size)
    for batch in batches.draw(seeded()):
        assert batch.forget_indices is not None
        assert torch.equal(forget[batch.forget_indices], batch.labels[: batch.forget_count])


def relabelled(labels: WrongLabels, *, classes: int = 4) -> RelabelledBatches:
    images = torch.arange(60, dtype=torch.uint8).view(60, 1, 1, 1).expand(60, 1, 4, 4).contiguous()
    reader = BatchReader(
        data=ImageData(images=images, labels=torch.arange(60) % classes),
        architecture=GREY.model_copy(update={"classes": classes, "mean": (0.0,), "std": (1.0 / 255.0,)}),
        device=CPU,
    )
    return RelabelledBatches(
        reader=reader, forget=torch.arange(20), retain=torch.arange(20, 60), size=16, labels=labels
    )


def drawn_labels(batches: RelabelledBatches, rng: torch.Generator) -> dict[int, int]:
    """Return the label under which each sample is read, by its pixel value."""
    return {
        round(float(image[0, 0, 0])): int(label)
        for batch in batches.draw(rng)
        for image, label in zip(batch.images, batch.labels, strict=True)
    }


def test_forgotten_samples_never_keep_their_label_and_kept_ones_always_do() -> None:
    read = drawn_labels(relabelled(WrongLabels.OTHERS), seeded())
    assert sorted(read) == list(range(60))
    assert all((label == sample % 4) == (sample >= 20) for sample, label in read.items())


def test_labels_are_drawn_anew_each_epoch_and_leave_the_data_alone() -> None:
    batches, rng = relabelled(WrongLabels.OTHERS), seeded()
    first, second = drawn_labels(batches, rng), drawn_labels(batches, rng)
    assert first != second
    assert torch.equal(batches.reader.data.labels, torch.arange(60) % 4)


@pytest.mark.parametrize(("among", "classes_drawn"), [(WrongLabels.OTHERS, {0, 1, 3}), (WrongLabels.ALL, {0, 1, 2, 3})])
def test_random_labels_are_uniform_over_what_they_are_drawn_from(among: WrongLabels, classes_drawn: set[int]) -> None:
    counts = torch.bincount(random_labels(torch.full((6000,), 2), 4, among, seeded()), minlength=4)
    assert {label for label in range(4) if counts[label]} == classes_drawn
    assert int(counts.max() - counts[counts > 0].min()) < 6000 * 0.05


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(4, 40), st.floats(0.05, 0.8))
def test_a_share_of_its_own_is_kept_in_every_batch_and_d_r_is_still_read_whole(
    f: int, r: int, size: int, share: float
) -> None:
    batches = MixedBatches(
        reader=numbered(f + r), forget=torch.arange(f), retain=torch.arange(f, f + r), size=size, forget_share=share
    )
    drawn = list(batches.draw(seeded()))
    assert len(drawn) == batches.steps
    assert {batch.forget_count for batch in drawn} == {min(f, max(1, round(share * size)))}
    assert {batch.forget_weight for batch in drawn} == {min(1.0, f / len(drawn))}
    assert {row for batch in drawn for row in batch.labels[batch.forget_count :].tolist()} == set(range(f, f + r))
