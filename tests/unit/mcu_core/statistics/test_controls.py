from dataclasses import replace

import numpy as np
import pytest

from mcu_core.report.evidence import Group, Result, Role
from mcu_core.statistics.controls import blind_baseline, calibration, negative_control
from mcu_core.statistics.rows import rows_of
from tests.score_tables import Scene, plan_of, table_of


def controls(scene: Scene) -> tuple[tuple[Result, ...], Result, Result]:
    table, plan = table_of(scene), plan_of(scene)
    rows = rows_of(table, plan)
    return negative_control(table, plan, rows), blind_baseline(table, plan, rows), calibration(table, plan, rows)


def p_of(result: Result) -> float:
    assert result.p_value is not None
    return result.p_value


@pytest.mark.parametrize("references", [False, True])
def test_an_instrument_that_works_shows_nothing(references: bool) -> None:
    negative, blind, calibrated = controls(Scene(original=4.0, candidate=4.0, references=references))
    assert [result.name for result in negative] == ["auc", "tail.upper", "tail.lower"]
    assert min(map(p_of, (*negative, blind, calibrated))) > 0.01
    assert blind.role is Role.NONE


def test_another_kind_of_image_is_seen_without_a_model() -> None:
    blind = controls(Scene(blind_shift=1.0))[1]
    assert blind.value is not None
    assert blind.value > 0.8
    assert p_of(blind) == 0.001


def test_unseen_samples_that_differ_from_each_other_are_seen() -> None:
    negative, _, calibrated = controls(Scene(calibration_shift=2.0))
    assert p_of(calibrated) < 1e-6
    assert p_of(negative[0]) < 1e-3


def test_one_deleted_sample_leaves_the_classifier_out_and_the_test_in() -> None:
    blind = controls(Scene(forget=1))[1]
    assert blind.value is None
    assert blind.not_estimable is not None
    assert p_of(blind) > 0.01


def test_without_a_class_in_common_the_controls_say_so() -> None:
    scene = Scene(forget=30)
    table, plan = table_of(scene), plan_of(scene)
    table = replace(table, label=np.where(table.group == Group.CALIBRATION.value, 99, table.label))
    rows = rows_of(table, plan)
    for result in (*negative_control(table, plan, rows), calibration(table, plan, rows)):
        assert result.value is None
        assert result.not_estimable is not None
