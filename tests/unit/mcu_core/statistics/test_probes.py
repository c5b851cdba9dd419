from dataclasses import replace

import pytest

from mcu_core.report.evidence import Group, Result, Role
from mcu_core.statistics.probes import forgotten_before, relearned, retained_exposure, version_pair
from mcu_core.statistics.rows import rows_of
from tests.score_tables import Scene, plan_of, table_of


def value_of(result: Result | None) -> float:
    assert result is not None
    assert result.value is not None
    return result.value


def test_what_one_epoch_brings_back_is_seen() -> None:
    scene = Scene(relearned=3.0)
    table, plan = table_of(scene), plan_of(scene)
    result = relearned(table, plan, rows_of(table, plan))
    assert (result.name, result.role) == ("relearned", Role.RELEARNED)
    assert value_of(result) > 0.8
    assert result.p_value is not None
    assert result.p_value < 1e-6


def test_less_like_a_member_is_nothing_that_came_back() -> None:
    scene = Scene(relearned=-3.0)
    table, plan = table_of(scene), plan_of(scene)
    assert relearned(table, plan, rows_of(table, plan)).p_value == pytest.approx(1.0, abs=1e-6)


def test_retained_people_are_compared_before_and_after() -> None:
    scene = Scene(retain_memory=2.0)
    table, plan = table_of(scene), plan_of(scene)
    original, candidate = retained_exposure(table, plan, rows_of(table, plan))
    assert (original.role, candidate.role) == (Role.ORIGINAL, Role.CANDIDATE)
    assert value_of(original) == pytest.approx(value_of(candidate), abs=0.05)
    assert value_of(original) > 0.7


def test_two_versions_show_what_one_does_not() -> None:
    scene = Scene(original=3.0, candidate=0.0)
    table, plan = table_of(scene), plan_of(scene)
    assert value_of(version_pair(table, plan, rows_of(table, plan))) > 0.8


def test_two_equal_versions_show_nothing() -> None:
    scene = Scene()
    table, plan = table_of(scene), plan_of(scene)
    same = replace(table, models={**table.models, Role.CANDIDATE: table.models[Role.ORIGINAL]})
    result = version_pair(same, plan, rows_of(same, plan))
    assert (result.value, result.p_value) == (0.5, 1.0)


def test_earlier_deletions_that_came_back_are_seen() -> None:
    came_back = Scene(forgotten_before=80, forgotten_before_memory=3.0)
    result = forgotten_before(table_of(came_back), plan_of(came_back))
    assert value_of(result) > 0.8
    stayed = replace(came_back, forgotten_before_memory=0.0)
    assert value_of(forgotten_before(table_of(stayed), plan_of(stayed))) < 0.6
    nobody = replace(came_back, forgotten_before=0)
    assert forgotten_before(table_of(nobody), plan_of(nobody)) is None
    assert len(table_of(nobody).rows(Group.FORGOTTEN_BEFORE)) == 0
