from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.config import MaskConfig, MaskMode
from mcu_core.errors import ConfigurationError
from mcu_core.masks import TensorMask, gradient_scores, select_elements, select_tensors

tensors = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.tuples(st.integers(1, 50), st.floats(0.0, 10.0), st.floats(0.0, 10.0)),
    min_size=1,
)


def select(
    sizes: Mapping[str, int], retain: Mapping[str, float], forget: Mapping[str, float], config: MaskConfig
) -> TensorMask:
    return select_tensors(sizes, retain, forget, config, torch.Generator())


def test_a_score_is_the_norm_by_the_number_of_elements() -> None:
    assert gradient_scores({"w": torch.tensor([[3.0, 4.0]])}) == {"w": 2.5}


def test_tensors_important_to_retaining_are_excluded_before_those_important_to_forgetting_are_kept() -> None:
    sizes = dict.fromkeys("abcdefghij", 10)
    retain = {name: float(i) for i, name in enumerate(sizes)}  # j matters most to D_r
    forget = {name: float(i) for i, name in enumerate(sizes)}  # and to D_f
    mask = select(sizes, retain, forget, MaskConfig(keep=0.3, exclude=0.2, least_tensors=1))
    assert mask.names == {"h", "g", "f"}
    assert mask.share == pytest.approx(0.3)


def test_a_large_tensor_that_would_overshoot_by_more_than_it_helps_is_left() -> None:
    sizes = {"small": 40, "large": 60}
    scores = {"small": 2.0, "large": 1.0}
    mask = select(sizes, scores, scores, MaskConfig(keep=0.5, exclude=0.0, least_tensors=1))
    assert mask.names == {"small"}


def test_too_few_tensors_to_bend_a_curve_give_the_full_mask_and_a_note() -> None:
    sizes = dict.fromkeys("abcdefghij", 10)
    scores = {name: float(i) for i, name in enumerate(sizes)}
    few = MaskConfig(keep=0.3, exclude=0.2, least_tensors=4)
    mask = select(sizes, scores, scores, few)
    assert mask.names == set(sizes)
    assert mask.note is not None
    assert "3 of 10 tensors" in mask.note
    assert select(sizes, scores, scores, few.model_copy(update={"least_tensors": 3})).note is None


def test_a_single_tensor_that_overshoots_everything_gives_the_full_mask() -> None:
    mask = select(
        {"large": 99, "small": 1}, {"small": 1.0, "large": 0.0}, {"small": 0.0, "large": 1.0}, MaskConfig(keep=0.1)
    )
    assert mask.names == {"large", "small"}


def test_the_printed_intersection_ranks_both_over_all_tensors() -> None:
    sizes = dict.fromkeys("abcdefghij", 10)
    scores = {name: float(i) for i, name in enumerate(sizes)}
    mask = select(sizes, scores, scores, MaskConfig(mode=MaskMode.AND, keep=0.3, exclude=0.2, least_tensors=1))
    assert mask.names == {"h"}, "j and i are among the highest of both"


def test_an_empty_intersection_gives_the_full_mask() -> None:
    sizes = dict.fromkeys("ab", 10)
    mask = select(
        sizes, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, MaskConfig(mode=MaskMode.AND, keep=0.5, exclude=0.5)
    )
    assert mask.note is not None


@given(st.integers(0, 1000), st.floats(0.05, 1.0))
def test_a_random_mask_keeps_the_share_and_follows_its_seed(seed: int, keep: float) -> None:
    sizes = {f"w{i}": 5 for i in range(40)}
    config = MaskConfig(mode=MaskMode.RANDOM, keep=keep, least_tensors=1)
    first, again = (select_tensors(sizes, {}, {}, config, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert first == again
    assert first.share == pytest.approx(keep, abs=0.5 / 40 + 1e-9)


def test_random_masks_of_two_seeds_differ() -> None:
    sizes = {f"w{i}": 5 for i in range(40)}
    config = MaskConfig(mode=MaskMode.RANDOM, least_tensors=1)
    assert len({select_tensors(sizes, {}, {}, config, torch.Generator().manual_seed(i)).names for i in range(5)}) == 5


def test_the_full_mask_keeps_everything() -> None:
    mask = select({"a": 1, "b": 2}, {}, {}, MaskConfig(mode=MaskMode.FULL))
    assert mask.names == {"a", "b"}
    assert mask.share == 1.0


def test_excluding_everything_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leaves none"):
        select({"a": 1}, {"a": 1.0}, {"a": 1.0}, MaskConfig(exclude=0.9))


@given(tensors, st.floats(0.05, 1.0), st.floats(0.0, 0.4))
def test_counts_stay_as_near_to_their_thresholds_as_the_order_allows(
    data: dict[str, tuple[int, float, float]], keep: float, exclude: float
) -> None:
    sizes = {name: size for name, (size, _, _) in data.items()}
    retain = {name: score for name, (_, score, _) in data.items()}
    forget = {name: score for name, (_, _, score) in data.items()}
    total = sum(sizes.values())
    try:
        mask = select(sizes, retain, forget, MaskConfig(keep=keep, exclude=exclude, least_tensors=1))
    except ConfigurationError:
        return
    assert mask.names
    assert mask.share == pytest.approx(sum(sizes[name] for name in mask.names) / total)
    largest = max(sizes[name] for name in mask.names)
    assert mask.share * total <= keep * total + largest / 2 + 1e-9 or mask.note is not None


def test_elements_are_ranked_over_all_tensors_together() -> None:
    gradients = {"a": torch.tensor([[1.0, -9.0], [3.0, 0.0]]), "b": torch.tensor([-8.0, 2.0])}
    mask = select_elements(gradients, 0.5)
    assert mask["a"].tolist() == [[False, True], [True, False]]
    assert mask["b"].tolist() == [True, False]


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 1.0))
def test_exactly_the_share_of_elements_is_chosen_even_among_equals(first: int, second: int, keep: float) -> None:
    gradients = {"a": torch.ones(first), "b": torch.ones(second)}
    chosen = sum(int(part.sum()) for part in select_elements(gradients, keep).values())
    assert chosen == round(keep * (first + second))
