import pytest
import torch
from torch import Tensor

from mcu_core.connection.similarity import Counterfactual, agreement, changed_images, linear_cka
from tests.cases import tiny_data


def features(seed: int, count: int = 40, width: int = 7) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def aligned(first: Tensor, second: Tensor) -> float:
    found = linear_cka(first, second)
    assert found is not None
    return found


def test_a_model_is_entirely_similar_to_itself() -> None:
    assert linear_cka(features(0), features(0)) == pytest.approx(1.0, abs=1e-12)


def test_rotation_scale_and_shift_do_not_matter() -> None:
    rotation, _ = torch.linalg.qr(features(5, 7))
    expected = aligned(features(0), features(1))
    assert aligned(-3.0 * features(0) @ rotation + 2.0, features(1)) == pytest.approx(expected, abs=1e-12)


def test_the_alignment_is_symmetric_and_lies_between_0_and_1() -> None:
    there, back = aligned(features(0), features(1, width=3)), aligned(features(1, width=3), features(0))
    assert there == pytest.approx(back, abs=1e-12)
    assert 0.0 <= there <= 1.0


def test_the_alignment_is_that_of_its_definition() -> None:
    x, y = features(0), features(1, width=3)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    expected = float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))
    assert linear_cka(features(0), features(1, width=3)) == pytest.approx(expected, abs=1e-12)


def test_uncorrelated_features_are_not_similar() -> None:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(3, 1)
    assert linear_cka(signs[:, :1], signs[:, 1:]) == 0.0


def test_features_that_do_not_differ_have_no_alignment() -> None:
    assert linear_cka(torch.ones(40, 3), features(0)) is None


@pytest.mark.parametrize("count", [1, 2, 9])
def test_too_few_samples_have_no_alignment(count: int) -> None:
    assert linear_cka(features(0, count), features(1, count)) is None
    assert linear_cka(features(0, 10), features(1, 10)) is not None


def test_agreement_counts_equal_answers_whichever_model_comes_first() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    second = torch.tensor([[9.0, 0.0], [1.0, 0.0], [5.0, 1.0], [0.0, 1.0]])
    assert agreement(first, second) == agreement(second, first) == 0.75
    assert agreement(first, first) == 1.0


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_mirroring_twice_gives_the_samples_back() -> None:
    data, rows = tiny_data(), torch.tensor([5, 2, 9])
    once = changed_images(data, rows, Counterfactual.MIRRORED, seeded())
    twice = changed_images(once, torch.arange(3), Counterfactual.MIRRORED, seeded())
    assert not torch.equal(once.images, data.images[rows])
    assert torch.equal(twice.images, data.images[rows])
    assert torch.equal(once.labels, data.labels[rows])


def test_a_sample_in_its_own_style_stays_as_it_is() -> None:
    data = tiny_data()
    changed = changed_images(data, torch.tensor([4]), Counterfactual.RESTYLED, seeded())
    assert torch.equal(changed.images, data.images[4:5])


def test_restyled_samples_take_the_brightness_of_another() -> None:
    data, rows = tiny_data(), torch.arange(20)
    changed = changed_images(data, rows, Counterfactual.RESTYLED, seeded())
    partners = data.images[rows][torch.randperm(20, generator=seeded())]
    # The amplitude at frequency 0 is the sum of the pixels; rounding and clipping move it a little.
    own, others = (images.double().mean(dim=(1, 2, 3)) for images in (changed.images, partners))
    torch.testing.assert_close(own, others, atol=6.0, rtol=0.0)
    assert torch.equal(changed.labels, data.labels[rows])
