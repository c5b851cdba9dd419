from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcu_core.config import HeldoutConfig
from mcu_core.errors import ConfigurationError
from mcu_core.heldout import HeldoutSplit, split_heldout

KEY = b"secret"
NAMES = ("validation", "test", "calibration", "evaluation")
subjects = st.lists(st.text(min_size=1, max_size=8), max_size=40)


def parts_of(split: HeldoutSplit) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return split.validation, split.test, split.calibration, split.evaluation


def parts(keys: list[str], key: bytes = KEY) -> dict[str, str]:
    split = split_heldout(keys, key, HeldoutConfig())
    return {keys[row]: name for name, rows in zip(NAMES, parts_of(split), strict=True) for row in rows.tolist()}


@given(subjects)
def test_the_parts_are_disjoint(keys: list[str]) -> None:
    split = split_heldout(keys, KEY, HeldoutConfig())
    rows = torch.cat(parts_of(split)).tolist()
    assert len(rows) == len(set(rows))


@given(subjects, st.randoms())
def test_where_a_subject_goes_depends_on_nothing_but_itself(keys: list[str], random: Random) -> None:
    shuffled = keys[: len(keys) // 2]
    random.shuffle(shuffled)
    everything = parts(keys)
    assert all(everything.get(subject) == part for subject, part in parts(shuffled).items())


def test_all_samples_of_a_subject_go_together() -> None:
    split = split_heldout(["a"] * 10, KEY, HeldoutConfig())
    assert sorted(len(rows) for rows in parts_of(split)) == [0, 0, 0, 10]


def test_shares_are_kept_and_the_rest_is_left_out() -> None:
    config = HeldoutConfig(validation=0.1, test=0.3, calibration=0.05, evaluation=0.2)
    split = split_heldout([str(i) for i in range(20_000)], KEY, config)
    shares = [len(rows) / 20_000 for rows in parts_of(split)]
    assert shares == pytest.approx([0.1, 0.3, 0.05, 0.2], abs=0.02)  # 5 standard deviations


def test_another_key_splits_otherwise() -> None:
    keys = [str(i) for i in range(100)]
    assert parts(keys) != parts(keys, key=b"other")


@pytest.mark.parametrize("key", [b"", b"x" * 65])
def test_a_key_of_unusable_length_is_refused(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="1 to 64 bytes"):
        split_heldout(["a"], key, HeldoutConfig())
