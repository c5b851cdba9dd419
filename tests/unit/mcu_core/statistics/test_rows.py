from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.rows import pair_with_unseen, pseudo_forget, rows_of
from mcu_core.statistics.scores import Integers, ScoreTable
from tests.score_tables import Scene, plan_of, table_of

SCENE = Scene(forget=60, calibration=500, evaluation=400, retain=80, test=90, forgotten_before=12, classes=4)


def shares(table: ScoreTable, rows: Integers) -> dict[int, float]:
    return {label: count / len(rows) for label, count in Counter(table.label[rows].tolist()).items()}


def without(table: ScoreTable, group: Group, label: int) -> ScoreTable:
    """Return the table with another label in place of one in a group."""
    changed = np.where((table.group == group.value) & (table.label == label), (label + 1) % 4, table.label)
    return replace(table, label=changed)


def test_what_d_f_is_compared_with_has_its_class_shares() -> None:
    table = table_of(SCENE)
    rows = rows_of(table, plan_of(SCENE))
    assert set(rows.matched) <= set(rows.evaluation)
    assert len(rows.matched) > 200
    assert shares(table, rows.matched) == pytest.approx(shares(table, rows.forget), abs=0.02)


def test_the_classifier_is_fitted_on_as_many_members_as_non_members() -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    rows = rows_of(table, plan)
    assert len(rows.svc_members) == len(rows.svc_nonmembers) == 80
    fewer = rows_of(table, plan.model_copy(update={"svc_samples": 30}))
    assert len(fewer.svc_members) == len(fewer.svc_nonmembers) == 30
    assert set(fewer.svc_nonmembers) <= set(rows.test)


def test_another_seed_draws_other_rows() -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    first, second = rows_of(table, plan), rows_of(table, plan.model_copy(update={"seed": 99}))
    assert first.matched.tolist() != second.matched.tolist()
    assert first.matched.tolist() == rows_of(table, plan).matched.tolist()


@pytest.mark.parametrize("role", [Role.ORIGINAL, Role.CANDIDATE, Role.RELEARNED])
def test_scores_without_a_model_are_refused(role: Role) -> None:
    table = table_of(SCENE)
    models = {name: scores for name, scores in table.models.items() if name is not role}
    with pytest.raises(DataError, match=role.value):
        rows_of(replace(table, models=models), plan_of(SCENE))


@pytest.mark.parametrize("group", [Group.FORGET, Group.RETAIN, Group.TEST, Group.CALIBRATION, Group.EVALUATION])
def test_scores_without_a_group_are_refused(group: Group) -> None:
    table = table_of(SCENE)
    renamed = np.where(table.group == group.value, Group.FORGOTTEN_BEFORE.value, table.group)
    with pytest.raises(DataError, match=group.value):
        rows_of(replace(table, group=renamed), plan_of(SCENE))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(number: float) -> None:
    table = table_of(SCENE)
    scores = table.models[Role.RELEARNED]
    broken = replace(scores, loss=np.where(np.arange(len(scores.loss)) == 5, number, scores.loss))
    with pytest.raises(DataError, match="finite"):
        rows_of(replace(table, models={**table.models, Role.RELEARNED: broken}), plan_of(SCENE))


def test_a_class_of_d_f_that_nobody_unseen_has_is_an_error() -> None:
    with pytest.raises(DataError, match="without any unseen sample"):
        rows_of(without(table_of(SCENE), Group.EVALUATION, 2), plan_of(SCENE))


def test_what_stands_in_d_fs_place_is_unseen_and_like_it() -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    rows = rows_of(table, plan)
    pair = pseudo_forget(table, plan, rows)
    assert pair is not None
    assert set(pair.forget) <= set(rows.calibration)
    assert 0.9 * 60 <= len(pair.forget) <= 60
    assert shares(table, pair.forget) == pytest.approx(shares(table, rows.forget), abs=0.05)
    assert set(pair.others) <= set(rows.evaluation)


def test_where_c_cal_is_smaller_than_d_f_all_that_its_classes_allow_is_taken() -> None:
    scene = replace(SCENE, forget=900, classes=2)
    table, plan = table_of(scene), plan_of(scene)
    table = replace(table, label=np.zeros_like(table.label))
    pair = pseudo_forget(table, plan, rows_of(table, plan))
    assert pair is not None
    assert len(pair.forget) == 500


def test_a_class_that_c_cal_lacks_is_left_out_of_the_negative_control() -> None:
    table, plan = without(table_of(SCENE), Group.CALIBRATION, 2), plan_of(SCENE)
    pair = pseudo_forget(table, plan, rows_of(table, plan))
    assert pair is not None
    assert 2 not in table.label[pair.forget]


def test_where_c_cal_has_no_class_of_d_f_there_is_no_negative_control() -> None:
    table = table_of(SCENE)
    unseen = replace(table, label=np.where(table.group == Group.CALIBRATION.value, 9, table.label))
    assert pseudo_forget(unseen, plan_of(SCENE), rows_of(unseen, plan_of(SCENE))) is None


def test_samples_of_a_class_without_unseen_ones_are_not_compared() -> None:
    table, plan = without(table_of(SCENE), Group.EVALUATION, 2), plan_of(SCENE)
    pair = pair_with_unseen(table, plan, table.rows(Group.FORGOTTEN_BEFORE), purpose="any")
    assert pair is not None
    assert set(table.label[pair.forget]) == set(table.label[table.rows(Group.FORGOTTEN_BEFORE)]) - {2}
