"""How far a lineage is from its last full training."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.drift import Drift, DriftBudget, drift_of
from service.domain.release import Release
from tests.records import a_release

BUDGET = DriftBudget(runs=10, forget_share=0.3)
FORGOTTEN = {2: 3, 3: 5, 4: 7}


def releases(last: int, *, retrained: int | None = None) -> list[Release]:
    return [replace(a_release(number), is_retrained=number == retrained) for number in range(last, 0, -1)]


def test_a_lineage_that_was_just_registered_has_not_drifted() -> None:
    assert drift_of(releases(1), {}, 20) == Drift(runs=0, samples=0, train_rows=20)


def test_every_release_since_the_registration_counts() -> None:
    assert drift_of(releases(4), FORGOTTEN, 20) == Drift(runs=3, samples=15, train_rows=20)


@pytest.mark.parametrize(("retrained", "runs", "samples"), [(2, 2, 12), (3, 1, 7), (4, 0, 0)])
def test_exact_retraining_begins_anew(retrained: int, runs: int, samples: int) -> None:
    assert drift_of(releases(4, retrained=retrained), FORGOTTEN, 20) == Drift(runs=runs, samples=samples, train_rows=20)


def test_the_larger_share_counts() -> None:
    assert BUDGET.used(Drift(runs=5, samples=3, train_rows=100)) == pytest.approx(0.5)
    assert BUDGET.used(Drift(runs=1, samples=30, train_rows=100)) == pytest.approx(1.0)


@given(st.integers(0, 100), st.integers(0, 1000), st.integers(0, 100), st.integers(0, 1000))
def test_what_is_used_never_falls_without_a_full_training(
    runs: int, samples: int, more_runs: int, more_samples: int
) -> None:
    before = Drift(runs=runs, samples=samples, train_rows=1000)
    after = replace(before, runs=runs + more_runs, samples=samples + more_samples)

    assert BUDGET.used(after) >= BUDGET.used(before)
