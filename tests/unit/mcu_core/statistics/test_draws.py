import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.errors import DataError
from mcu_core.statistics.draws import draw, match_classes, one_each, permutation, uniforms

labels = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def test_a_draw_is_the_same_for_ever() -> None:
    assert permutation(10, seed=7, purpose="svc.members").tolist() == [1, 8, 7, 2, 4, 0, 3, 5, 6, 9]


@given(st.integers(0, 50), st.integers(0, 2**53 - 1))
def test_a_permutation_has_every_number_once(count: int, seed: int) -> None:
    assert sorted(permutation(count, seed=seed, purpose="any")) == list(range(count))


def test_purposes_and_seeds_are_drawn_apart() -> None:
    orders = [permutation(50, seed=seed, purpose=purpose).tolist() for seed in (0, 1) for purpose in ("a", "b")]
    assert len({tuple(order) for order in orders}) == 4


def test_every_position_comes_first_equally_often() -> None:
    first = np.bincount([permutation(5, seed=seed, purpose="any")[0] for seed in range(2000)], minlength=5)
    assert np.abs(first - 400).max() < 4 * 18  # four standard deviations of a count


def test_uniform_numbers_are_uniform() -> None:
    numbers = np.concatenate(list(uniforms(20, 500, seed=0, purpose="any")))
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert np.histogram(numbers, bins=10, range=(0, 1))[0] == pytest.approx(1000, abs=4 * 30)


@given(st.lists(st.integers(0, 99), unique=True, max_size=20), st.integers(0, 25))
def test_drawn_rows_are_different_and_keep_their_order(numbers: list[int], count: int) -> None:
    drawn = draw(np.array(numbers, dtype=np.int64), count, seed=0, purpose="any").tolist()
    assert len(drawn) == min(count, len(numbers))
    assert drawn == [number for number in numbers if number in set(drawn)]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_one_sample_of_each_subject_is_drawn(subjects: list[int], seed: int) -> None:
    positions = one_each(np.array(subjects), seed=seed, purpose="any")
    assert sorted(subjects[position] for position in positions) == sorted(set(subjects))
    assert positions.tolist() == sorted(positions)


def test_each_of_a_subjects_samples_may_be_drawn() -> None:
    subjects = np.array([0, 0, 0, 1])
    assert {int(one_each(subjects, seed=seed, purpose="any")[0]) for seed in range(40)} == {0, 1, 2}


@given(labels, labels, st.integers(0, 99), st.one_of(st.none(), st.integers(1, 20)))
def test_matched_rows_have_the_wanted_shares(have: list[int], wanted: list[int], seed: int, most: int | None) -> None:
    available = [have.count(label) for label in range(4)]
    asked = [wanted.count(label) for label in range(4)]
    if any(count and not available[label] for label, count in enumerate(asked)):
        return
    rows = match_classes(np.array(have), np.arange(len(have)), np.array(wanted), seed=seed, purpose="any", most=most)
    assert len(set(rows.tolist())) == len(rows)
    factor = min(available[label] / count for label, count in enumerate(asked) if count)
    factor = factor if most is None else min(factor, most / len(wanted))
    drawn = [sum(have[row] == label for row in rows) for label in range(4)]
    for label, count in enumerate(asked):
        assert drawn[label] == (max(1, int(factor * count + 1e-9)) if count else 0)


def test_a_class_without_any_row_is_an_error() -> None:
    with pytest.raises(DataError, match="2 of 3"):
        match_classes(np.array([0, 0, 1]), np.array([0, 1]), np.array([0, 1, 1]), seed=0, purpose="any")
