from dataclasses import fields, replace

import numpy as np
import pytest

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.scores import ReferenceScores, ScoreTable, from_parquet, to_parquet
from tests.score_tables import Scene, table_of

SMALL = Scene(
    forget=7, retain=5, test=6, calibration=8, evaluation=9, canaries=6, forgotten_before=3, pre_unlearned=-1.0,
    references=True, samples_per_subject=2,
)  # fmt: skip


def assert_equal(first: ScoreTable, second: ScoreTable) -> None:
    assert first.facts == second.facts
    for name in ("group", "label", "subject", "blind"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert set(first.models) == set(second.models)
    for role, scores in first.models.items():
        for field in fields(scores):
            np.testing.assert_array_equal(getattr(scores, field.name), getattr(second.models[role], field.name))
    assert (first.references is None) == (second.references is None)
    if first.references is not None and second.references is not None:
        for field in fields(ReferenceScores):
            np.testing.assert_array_equal(getattr(first.references, field.name), getattr(second.references, field.name))


@pytest.mark.parametrize("scene", [SMALL, replace(SMALL, references=False, canaries=0, pre_unlearned=None)])
def test_a_table_comes_back_as_it_was(scene: Scene) -> None:
    table = table_of(scene)
    assert_equal(from_parquet(to_parquet(table)), table)


def test_equal_tables_give_equal_bytes() -> None:
    table = table_of(SMALL)
    turned = replace(table, models=dict(reversed(list(table.models.items()))))
    assert to_parquet(turned) == to_parquet(table)
    assert to_parquet(from_parquet(to_parquet(table))) == to_parquet(table)


def test_more_than_ten_image_statistics_keep_their_order() -> None:
    table = replace(table_of(SMALL), blind=np.random.default_rng(0).normal(size=(len(table_of(SMALL).group), 12)))
    np.testing.assert_array_equal(from_parquet(to_parquet(table)).blind, table.blind)


def test_another_number_gives_other_bytes() -> None:
    table = table_of(SMALL)
    assert to_parquet(replace(table, blind=table.blind + 1e-9)) != to_parquet(table)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="no scores"):
        from_parquet(b"PAR1")


def test_a_number_that_is_not_finite_is_refused() -> None:
    table = table_of(SMALL)
    phi = table.models[Role.CANDIDATE].phi.copy()
    phi[3] = np.nan
    broken = replace(table, models={**table.models, Role.CANDIDATE: replace(table.models[Role.CANDIDATE], phi=phi)})
    with pytest.raises(DataError, match="finite"):
        from_parquet(to_parquet(broken))


def test_the_rows_of_a_group_are_those_that_carry_its_name() -> None:
    table = table_of(SMALL)
    assert [len(table.rows(group)) for group in (Group.FORGET, Group.RETAIN, Group.TEST)] == [7, 5, 6]
    together = np.concatenate([table.rows(group) for group in Group])
    assert sorted(together) == list(range(len(table.group)))
