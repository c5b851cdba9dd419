import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.config import MaskConfig, MaskMode
from mcu_core.errors import ConfigurationError
from mcu_core.masks import gradient_scores, select_tensors

tensors = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.tuples(st.integers(1, 50), st.floats(0.0, 10.0), st.floats(0.0, 10.0)),
    min_size=1,
)


def test_a_score_is_the_norm_by_the_number_of_elements() -> None:
    assert gradient_scores({"w": torch.tensor([[3.0, 4.0]])}) == {"w": 2.5}


def test_tensors_important_to_retaining_are_excluded_before_those_important_to_forgetting_are_kept() -> None:
    sizes = dict.fromkeys("abcdefghij", 10)
    retain = {name: float(i) for i, name in enumerate(sizes)}  # j matters most to D_r
    forget = {name: float(i) for i, name in enumerate(sizes)}  # and to D_f
    mask = select_tensors(sizes, retain, forget, MaskConfig(keep=0.3, exclude=0.2))
    assert mask.names == {"h", "g", "f"}
    assert mask.share == pytest.approx(0.3)


def test_a_large_tensor_that_would_overshoot_by_more_than_it_helps_is_left() -> None:
    sizes = {"small": 40, "large": 60}
    scores = {"small": 2.0, "large": 1.0}
    mask = select_tensors(sizes, scores, scores, MaskConfig(keep=0.5, exclude=0.0))
    assert mask.names == {"small"}


def test_at_least_one_tensor_is_kept_and_its_share_reported() -> None:
    sizes = {"small": 1, "large": 99}
    mask = select_tensors(sizes, {"small": 0.0, "large": 1.0}, {"small": 0.0, "large": 1.0}, MaskConfig(keep=0.1))
    assert mask.names == {"large"}
    assert mask.share == pytest.approx(0.99)


def test_the_full_mask_keeps_everything() -> None:
    mask = select_tensors({"a": 1, "b": 2}, {}, {}, MaskConfig(mode=MaskMode.FULL))
    assert mask.names == {"a", "b"}
    assert mask.share == 1.0


def test_excluding_everything_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leaves none"):
        select_tensors({"a": 1}, {"a": 1.0}, {"a": 1.0}, MaskConfig(exclude=0.9))


@given(tensors, st.floats(0.05, 1.0), st.floats(0.0, 0.4))
def test_counts_stay_as_near_to_their_thresholds_as_the_order_allows(
    data: dict[str, tuple[int, float, float]], keep: float, exclude: float
) -> None:
    sizes = {name: size for name, (size, _, _) in data.items()}
    retain = {name: score for name, (_, score, _) in data.items()}
    forget = {name: score for name, (_, _, score) in data.items()}
    total = sum(sizes.values())
    try:
        mask = select_tensors(sizes, retain, forget, MaskConfig(keep=keep, exclude=exclude))
    except ConfigurationError:
        return
    assert mask.names
    assert mask.share == pytest.approx(sum(sizes[name] for name in mask.names) / total)
    largest = max(sizes[name] for name in mask.names)
    assert mask.share * total <= keep * total + largest / 2 + 1e-9 or len(mask.names) == 1
