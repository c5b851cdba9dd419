from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.audit.rows import MAX_FORGOTTEN_BEFORE, CanaryRows, anonymous, draw_rows, shared_rows
from mcu_core.errors import DataError
from mcu_core.images import SealedSamples
from mcu_core.report.evidence import Group
from mcu_core.types import Problem
from tests.audits import plan_of


def test_only_what_may_be_much_is_drawn_from(hidden: Problem, sealed: SealedSamples) -> None:
    rows = draw_rows(hidden, sealed, plan_of(retain_images=10), canaries=None, forgotten_before=None)
    assert torch.equal(rows[Group.TEST].sort().values, hidden.test)
    assert not torch.equal(rows[Group.TEST], hidden.test)  # in no order of the data
    assert len(rows[Group.RETAIN]) == 10
    assert bool(torch.isin(rows[Group.RETAIN], hidden.retain).all())
    again = draw_rows(hidden, sealed, plan_of(retain_images=10), canaries=None, forgotten_before=None)
    assert all(torch.equal(part, again[group]) for group, part in rows.items())


def test_earlier_deletions_are_sampled_up_to_a_cap(hidden: Problem, sealed: SealedSamples) -> None:
    before = torch.zeros(MAX_FORGOTTEN_BEFORE + 50, dtype=torch.int64)
    rows = draw_rows(hidden, sealed, plan_of(), canaries=None, forgotten_before=before)
    assert len(rows[Group.FORGOTTEN_BEFORE]) == MAX_FORGOTTEN_BEFORE


def test_a_request_of_canaries_alone_is_refused(hidden: Problem, sealed: SealedSamples) -> None:
    canaries = CanaryRows(included=hidden.forget, excluded=hidden.validation)
    with pytest.raises(DataError, match="forget has no sample"):
        draw_rows(hidden, sealed, plan_of(), canaries=canaries, forgotten_before=None)


def test_shared_rows_are_counted_once_each(hidden: Problem, sealed: SealedSamples) -> None:
    assert shared_rows(hidden, sealed, None) == 0
    both = replace(sealed, calibration=torch.cat([hidden.test[:3], hidden.retain[:2], sealed.evaluation[:1]]))
    assert shared_rows(hidden, both, None) == 6


def test_canaries_of_d_f_are_shared_with_nobody_but_others_are(hidden: Problem, sealed: SealedSamples) -> None:
    fine = CanaryRows(included=hidden.forget[:4], excluded=torch.tensor([], dtype=torch.int64))
    assert shared_rows(hidden, sealed, fine) == 0
    assert shared_rows(hidden, sealed, replace(fine, excluded=sealed.evaluation[:2])) == 2
    assert shared_rows(hidden, sealed, replace(fine, included=hidden.retain[:3])) == 3


@given(st.lists(st.integers(-50, 50), max_size=30), st.integers(0, 99))
def test_renumbered_subjects_are_equal_exactly_where_they_were(subjects: list[int], seed: int) -> None:
    numbers = anonymous(torch.tensor(subjects, dtype=torch.int64), seed)
    assert len({*zip(subjects, numbers.tolist(), strict=True)}) == len(set(subjects)) == len(set(numbers.tolist()))
    assert set(numbers.tolist()) == set(range(len(set(subjects))))


def test_the_numbers_of_subjects_are_in_no_order() -> None:
    assert not np.array_equal(anonymous(torch.arange(50), 0), np.arange(50))
