import re

import torch
from torch import Tensor

from mcu_core.audit.duplicates import find_duplicates
from mcu_core.images import ImageData

FORGET, RETAIN, UNSEEN = torch.arange(20), torch.arange(20, 220), torch.arange(220, 520)


def noise() -> Tensor:
    return torch.randint(40, 216, (520, 1, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def found(images: Tensor, *, labels: Tensor | None = None, batch: int = 32) -> tuple[int, int, str]:
    classes = torch.arange(520) % 2 if labels is None else labels
    rng = torch.Generator().manual_seed(0)
    counted = find_duplicates(ImageData(images=images, labels=classes), FORGET, RETAIN, UNSEEN, rng, batch=batch)
    assert counted.searched == len(FORGET)
    return counted.exact, counted.near, counted.method


def test_unrelated_images_are_no_duplicates() -> None:
    assert found(noise())[:2] == (0, 0)


def test_copies_are_counted_once_for_each_sample_of_d_f_whatever_their_class() -> None:
    images = noise()
    images[20], images[21], images[31] = images[0], images[0], images[4]
    assert found(images)[:2] == (2, 0)


def test_copies_that_are_brighter_noisier_or_shifted_are_near() -> None:
    images = noise()
    smooth = torch.nn.functional.interpolate(images[:3, :, ::4, ::4].float(), (16, 16), mode="bilinear")
    images[:3] = smooth.round().to(torch.uint8)
    images[20] = images[0] + 9
    images[21] = images[1] + torch.randint(0, 5, (1, 16, 16), generator=torch.Generator().manual_seed(2))
    images[22] = images[2] // 2
    assert found(images)[:2] == (0, 3)


def test_a_near_copy_of_another_class_is_none() -> None:
    images = noise()
    images[21] = images[0] + 9
    assert found(images)[:2] == (0, 0)


def test_images_of_one_colour_are_near_to_nothing() -> None:
    images = noise()
    images[0], images[20] = 50, 60
    assert found(images)[:2] == (0, 0)


def test_the_batch_changes_nothing() -> None:
    images = noise()
    images[20], images[22] = images[0], images[2] + 9
    assert found(images, batch=7)[:2] == found(images, batch=500)[:2] == (1, 1)


def test_where_all_images_look_alike_the_threshold_rises_until_few_unseen_ones_pass() -> None:
    rng = torch.Generator().manual_seed(3)
    base = torch.randint(40, 216, (1, 1, 16, 16), generator=rng)
    alike = (base + torch.randint(0, 3, (520, 1, 16, 16), generator=rng)).to(torch.uint8)
    exact, near, method = found(alike)
    share = re.search(r"which ([\d.]+)% of 300 unseen images", method)
    assert share is not None
    assert float(share[1]) <= 1.0
    assert exact == 0
    assert near <= 2  # D_f is drawn as the unseen ones: 1 % of 20, and luck


def test_without_unseen_images_the_least_similarity_decides() -> None:
    images = noise()
    images[20] = images[0] + 9
    data = ImageData(images=images, labels=torch.arange(520) % 2)
    rng = torch.Generator().manual_seed(0)
    counted = find_duplicates(data, FORGET, RETAIN, torch.arange(0), rng, batch=32)
    assert (counted.near, "0.9900" in counted.method) == (1, True)


def test_where_a_class_goes_entirely_only_exact_copies_can_be_left() -> None:
    images, labels = noise(), torch.arange(520) % 2
    labels[FORGET] = 2
    images[20], images[21] = images[0], images[1] + 9
    assert found(images, labels=labels)[:2] == (1, 0)
