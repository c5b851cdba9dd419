from dataclasses import replace

import numpy as np
import pytest

from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.models import model_row
from mcu_core.statistics.rows import rows_of
from mcu_core.statistics.scores import ScoreTable
from tests.score_tables import DIGESTS, NAMES, Scene, plan_of, table_of

SCENE = Scene(pre_unlearned=-1.0, forget=80, retain=300, test=400)


def accuracy(table: ScoreTable, role: Role, group: Group) -> float:
    rows = table.rows(group)
    return float(np.mean(table.models[role].prediction[rows] == table.label[rows]))


@pytest.mark.parametrize(("role", "t"), [(Role.ORIGINAL, None), (Role.PRE_UNLEARNED, 1.0), (Role.CANDIDATE, 0.8125)])
def test_a_row_has_the_papers_metrics(role: Role, t: float | None) -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    row = model_row(table, plan, rows_of(table, plan), role)
    assert (row.role, row.name, row.digest, row.t) == (role, NAMES[role], DIGESTS[role], t)
    assert row.unlearning_accuracy.value == pytest.approx(1.0 - accuracy(table, role, Group.FORGET))
    assert row.retain_accuracy.value == pytest.approx(accuracy(table, role, Group.RETAIN))
    assert row.test_accuracy.value == pytest.approx(accuracy(table, role, Group.TEST))
    assert row.forget_gap == pytest.approx(abs(accuracy(table, role, Group.FORGET) - 0.9))
    assert row.retain_gap == pytest.approx(abs(accuracy(table, role, Group.RETAIN) - 0.99))
    assert row.membership.training_count == 200
    assert row.class_test_accuracy is None


def test_the_attack_is_a_gap_to_unseen_samples() -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    rows = rows_of(table, plan)
    original, candidate = (model_row(table, plan, rows, role) for role in (Role.ORIGINAL, Role.CANDIDATE))
    assert original.membership.gap > 0.2
    assert candidate.membership.gap < 0.1


def test_a_class_that_goes_entirely_has_its_error_on_test_images() -> None:
    scene = replace(SCENE, classes=4)
    table, plan = table_of(scene), plan_of(scene)
    kept = (table.group == Group.RETAIN.value) & (table.label == 2)
    gone = np.where(table.group == Group.FORGET.value, 2, np.where(kept, 1, table.label))
    table = replace(table, label=gone)
    row = model_row(table, plan, rows_of(table, plan), Role.CANDIDATE)
    test = table.rows(Group.TEST)
    images = test[table.label[test] == 2]
    assert row.class_test_accuracy is not None
    assert row.class_test_accuracy.count == len(images)
    assert row.class_test_accuracy.value == pytest.approx(np.mean(table.models[Role.CANDIDATE].prediction[images] != 2))


def test_a_rare_class_is_not_taken_for_gone() -> None:
    """With one test image in four hundred, none of three hundred retained samples is what chance gives."""
    table, plan = table_of(SCENE), plan_of(SCENE)
    label, test = table.label.copy(), table.rows(Group.TEST)
    label[np.isin(table.group, [Group.FORGET.value, Group.EVALUATION.value])] = 42
    label[test[0]] = 42
    rare = replace(table, label=label)
    assert model_row(rare, plan, rows_of(rare, plan), Role.CANDIDATE).class_test_accuracy is None
