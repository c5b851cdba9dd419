import numpy as np
import pytest

from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.harm import class_changes, utility_losses
from mcu_core.statistics.paired_difference import paired_difference
from mcu_core.statistics.utility import utility_loss
from tests.score_tables import Scene, plan_of, table_of

SCENE = Scene(classes=3)


def test_losses_are_those_of_the_same_images() -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    losses = utility_losses(table, plan)
    assert list(losses) == [Group.TEST, Group.RETAIN]
    for group, loss in losses.items():
        rows = table.rows(group)
        before, after = (
            table.models[role].prediction[rows] == table.label[rows] for role in (Role.ORIGINAL, Role.CANDIDATE)
        )
        assert loss == utility_loss(before, after, level=plan.confidence)


def test_copies_of_people_widen_the_bound() -> None:
    single, copied = Scene(test=600), Scene(test=600, samples_per_subject=4)
    first, second = (utility_losses(table_of(scene), plan_of(scene))[Group.TEST] for scene in (single, copied))
    assert second.upper - second.value > 1.5 * (first.upper - first.value)


def test_every_class_has_its_change() -> None:
    table, plan = table_of(SCENE), plan_of(SCENE)
    changes, test = class_changes(table, plan), table.rows(Group.TEST)
    assert [change.label for change in changes] == [0, 1, 2]
    assert sum(change.count for change in changes) == len(test)
    for change in changes:
        rows = test[table.label[test] == change.label]
        before, after = (
            table.models[role].prediction[rows] == table.label[rows] for role in (Role.ORIGINAL, Role.CANDIDATE)
        )
        expected = paired_difference(before, after, confidence=plan.confidence)
        assert (change.change, change.low, change.high) == (expected.value, expected.low, expected.high)
    overall = np.average([change.change for change in changes], weights=[change.count for change in changes])
    assert overall == pytest.approx(-utility_losses(table, plan)[Group.TEST].value)
