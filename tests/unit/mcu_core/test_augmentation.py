import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as transforms

from mcu_core.augmentation import AREA_SHARES, augment, draw_boxes
from mcu_core.config import ArchitectureConfig, Augmentation, TrainConfig
from mcu_core.data import BatchReader, MixedBatches, PlainBatches
from mcu_core.images import ImageData
from mcu_core.inference import count_right
from mcu_core.losses import cross_entropy
from mcu_core.models import initialise
from mcu_core.runtime import stream
from mcu_core.training import minimise
from mcu_core.types import Phase
from tests.cases import TINY, tiny_data, tiny_runtime

VIEWS = (Augmentation.CROP_FLIP, Augmentation.RESIZED_CROP_FLIP)
each = pytest.mark.parametrize("augmentation", VIEWS)


def noise(count: int = 40, *, height: int = 16, width: int = 16) -> torch.Tensor:
    rng = torch.Generator().manual_seed(3)
    return torch.randint(1, 256, (count, 3, height, width), dtype=torch.uint8, generator=rng)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def possible_crops(image: torch.Tensor) -> list[torch.Tensor]:
    """Return all views that `CROP_FLIP` can give, by torchvision, mirrored ones included."""
    _, height, width = image.shape
    down, right = height // 8, width // 8
    padded = transforms.pad(image, [right, down])
    crops = [
        transforms.crop(padded, top, left, height, width)
        for top in range(2 * down + 1)
        for left in range(2 * right + 1)
    ]
    return crops + [transforms.horizontal_flip(crop) for crop in crops]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 8), (4, 4)])
def test_a_crop_is_one_of_those_that_torchvision_makes(height: int, width: int) -> None:
    images = noise(height=height, width=width)
    for image, view in zip(images, augment(images, Augmentation.CROP_FLIP, 16, seeded()), strict=True):
        assert any(torch.equal(view, crop) for crop in possible_crops(image))


def test_every_crop_and_its_mirror_image_is_drawn_about_as_often() -> None:
    image = noise(1, height=8, width=8)
    drawn = augment(image.expand(3600, -1, -1, -1), Augmentation.CROP_FLIP, 8, seeded())
    counts = [int((drawn == crop).flatten(1).all(dim=1).sum()) for crop in possible_crops(image[0])]
    assert len(counts) == 18
    assert sum(counts) == 3600
    assert min(counts) > 200 - 5 * 14  # 14: the standard deviation of a count
    assert max(counts) < 200 + 5 * 14


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_boxes_lie_inside_the_image(height: int, width: int, seed: int) -> None:
    top, left, tall, wide = draw_boxes(50, height, width, seeded(seed)).unbind(1)
    assert bool(((top >= 0) & (left >= 0) & (tall >= 1) & (wide >= 1)).all())
    assert bool(((top + tall <= height) & (left + wide <= width)).all())


def test_boxes_have_the_shares_and_ratios_that_are_asked_for() -> None:
    _, _, tall, wide = draw_boxes(4000, 200, 200, seeded()).double().unbind(1)
    shares, ratios = tall * wide / 200**2, wide / tall
    rounding = 0.02  # half a pixel on each side of the smallest box
    assert AREA_SHARES[0] - rounding < float(shares.min()) < 0.1
    assert float(shares.max()) > 0.95
    assert 0.75 - rounding < float(ratios.min()) < 0.78
    assert 1.28 < float(ratios.max()) < 4 / 3 + rounding


def test_an_image_into_which_no_box_fits_is_taken_whole() -> None:
    boxes = draw_boxes(20, 1, 60, seeded())
    assert boxes.tolist() == [[0, 0, 1, 60]] * 20


@pytest.mark.parametrize("size", [5, 12, 16, 40])
def test_a_resized_crop_is_torchvisions_of_the_box_that_was_drawn(size: int) -> None:
    images = noise()
    rng = seeded(5)
    views = augment(images, Augmentation.RESIZED_CROP_FLIP, size, seeded(5))
    for image, box, view in zip(images, draw_boxes(40, 16, 16, rng).tolist(), views, strict=True):
        expected = transforms.resized_crop(image, *box, [size, size], antialias=True)
        assert torch.equal(view, expected) or torch.equal(view, transforms.horizontal_flip(expected))


@each
def test_views_repeat_with_their_seed_and_differ_without(augmentation: Augmentation) -> None:
    first, again, other = (augment(noise(), augmentation, 16, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@each
def test_images_and_the_global_random_state_are_unchanged(augmentation: Augmentation) -> None:
    images, random = noise(), torch.get_rng_state()
    augment(images, augmentation, 16, seeded())
    assert torch.equal(images, noise())
    assert torch.equal(torch.get_rng_state(), random)


def test_no_augmentation_draws_nothing() -> None:
    rng, images = seeded(), noise()
    before = rng.get_state()
    assert torch.equal(augment(images, Augmentation.NONE, 16, rng), images)
    assert torch.equal(rng.get_state(), before)


@each
def test_batches_are_augmented_before_they_are_normalised(augmentation: Augmentation) -> None:
    white = ImageData(images=torch.full((30, 1, 8, 8), 255, dtype=torch.uint8), labels=torch.zeros(30).long())
    reader = BatchReader(data=white, architecture=TINY, device=torch.device("cpu"))
    (batch,) = PlainBatches(reader=reader, rows=torch.arange(30), size=30).draw(seeded(), augmentation)
    black, bright = (0.0 - 0.5) / 0.25, (1.0 - 0.5) / 0.25
    found = set(batch.images.flatten().tolist())
    assert found == ({black, bright} if augmentation is Augmentation.CROP_FLIP else {bright})


@each
def test_forget_rows_are_augmented_as_well_and_keep_their_labels(augmentation: Augmentation) -> None:
    runtime = tiny_runtime(tiny_data())
    batches = MixedBatches(reader=runtime.reader, forget=torch.arange(24), retain=torch.arange(24, 120), size=40)
    for batch in batches.draw(seeded(), augmentation):
        assert batch.forget_indices is not None
        plain = runtime.reader.read(batch.forget_indices)
        assert torch.equal(plain.labels, batch.labels[: batch.forget_count])
        assert not torch.equal(plain.images, batch.images[: batch.forget_count])


@each
def test_augmented_images_have_the_size_of_the_architecture(augmentation: Augmentation) -> None:
    data = ImageData(images=noise(6, height=20, width=14), labels=torch.arange(6))
    architecture = ArchitectureConfig(name="preresnet8", classes=6, image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    reader = BatchReader(data=data, architecture=architecture, device=torch.device("cpu"))
    (batch,) = PlainBatches(reader=reader, rows=torch.arange(6), size=6).draw(seeded(), augmentation)
    assert batch.images.shape == (6, 3, 8, 8)


@pytest.mark.parametrize("augmentation", Augmentation)
def test_training_follows_its_setting(augmentation: Augmentation) -> None:
    def train(chosen: Augmentation) -> torch.Tensor:
        runtime = tiny_runtime(tiny_data())
        trained = minimise(
            runtime,
            initialise(TINY, 1),
            cross_entropy,
            PlainBatches(reader=runtime.reader, rows=torch.arange(120), size=40),
            TrainConfig(epochs=1, learning_rate=0.01, augmentation=chosen),
            rng=stream(0, "test"),
            phase=Phase.RETRAIN,
            lower="the rate",
        )
        return trained.params["conv.weight"]

    assert torch.equal(train(augmentation), train(augmentation))
    assert torch.equal(train(augmentation), train(Augmentation.NONE)) == (augmentation is Augmentation.NONE)


def test_evaluation_reads_images_as_they_are() -> None:
    runtime = tiny_runtime(tiny_data())
    state, rows = initialise(TINY, 1), torch.arange(120)
    expected = runtime.reader.read(rows)
    seen = torch.cat([batch.images for batch in runtime.chunks(rows)])
    assert torch.equal(seen, expected.images)
    first, second = (count_right(runtime, [(lambda: state.params, state.buffers)], rows) for _ in range(2))
    assert first == second
