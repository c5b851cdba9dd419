import numpy as np
import pytest

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Role
from mcu_core.report.plan import Signal
from mcu_core.statistics.rmia import rmia
from mcu_core.statistics.signals import available, compare, primary_values, signal_values
from tests.score_tables import Scene, plan_of, table_of

WITH, WITHOUT = Scene(forget=20, references=True), Scene(forget=20)


def test_two_signals_need_references() -> None:
    assert set(available(table_of(WITH))) == set(Signal)
    assert set(Signal) - set(available(table_of(WITHOUT))) == {Signal.CALIBRATED, Signal.RMIA}


@pytest.mark.parametrize("signal", [Signal.CALIBRATED, Signal.RMIA])
def test_without_references_they_are_an_error(signal: Signal) -> None:
    with pytest.raises(DataError, match=signal.value):
        signal_values(table_of(WITHOUT), Role.CANDIDATE, signal, rmia_offset=0.3)


@pytest.mark.parametrize("signal", list(Signal))
def test_every_signal_is_higher_for_what_a_model_remembers(signal: Signal) -> None:
    table = table_of(Scene(original=4.0, forget=400, references=True))
    values = signal_values(table, Role.ORIGINAL, signal, rmia_offset=0.3)
    assert values.shape == table.group.shape
    assert values[table.rows(Group.FORGET)].mean() > values[table.rows(Group.EVALUATION)].mean()


def test_rmia_compares_with_the_calibration_samples() -> None:
    table = table_of(WITH)
    scores, references, z = table.models[Role.CANDIDATE], table.references, table.rows(Group.CALIBRATION)
    assert references is not None
    expected = rmia(
        scores.confidence, references.confidence, scores.confidence[z], references.confidence[z], offset=0.3
    )
    np.testing.assert_array_equal(signal_values(table, Role.CANDIDATE, Signal.RMIA, rmia_offset=0.3), expected)


@pytest.mark.parametrize(("scene", "primary"), [(WITH, Signal.CALIBRATED), (WITHOUT, Signal.PHI)])
def test_groups_are_compared_on_the_primary_signal(scene: Scene, primary: Signal) -> None:
    table, plan = table_of(scene), plan_of(scene)
    forget, others = table.rows(Group.FORGET), table.rows(Group.EVALUATION)
    comparison = compare(table, plan, Role.CANDIDATE, forget=forget, others=others)
    assert (comparison.role, comparison.signal) == (Role.CANDIDATE, primary)
    np.testing.assert_array_equal(comparison.forget, primary_values(table, plan, Role.CANDIDATE)[forget])
    np.testing.assert_array_equal(comparison.other_subjects, table.subject[others])
