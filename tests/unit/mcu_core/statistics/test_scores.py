from collections.abc import Callable
from dataclasses import fields, replace
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.scores import MAX_SAMPLES, ReferenceScores, ScoreTable, from_parquet, to_parquet
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


Change = Callable[[pa.Table], pa.Table]


def _with(name: str, make: Callable[[pa.ChunkedArray], object]) -> Change:
    """Put something else in place of a column."""

    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(name), name, make(table.column(name)))

    return change


def _first_null(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([None, *column.to_pylist()[1:]], type=column.type)


FOREIGN: dict[str, Change] = {
    "numbers as texts": _with("candidate.phi", lambda column: column.cast(pa.string())),
    "fewer bits": _with("candidate.phi", lambda column: column.cast(pa.float32())),
    "times": _with("candidate.prediction", lambda column: column.cast(pa.timestamp("us"))),
    "labels as texts": _with("label", lambda column: column.cast(pa.string())),
    "no label": _with("label", _first_null),
    "nobody": _with("subject", _first_null),
    "no group": _with("group", _first_null),
    "unknown group": _with("group", lambda column: pa.array(["others", *column.to_pylist()[1:]])),
    "names of samples": lambda table: table.append_column("sample_id", table.column("group")),
    "a column twice": lambda table: table.append_column("label", table.column("label")),
    "half a model": lambda table: table.drop_columns(["candidate.loss"]),
    "no image statistics": lambda table: table.drop_columns(
        [name for name in table.column_names if name.startswith("blind.")]
    ),
    "other metadata": lambda table: table.replace_schema_metadata({**(table.schema.metadata or {}), b"names": b"a"}),
    "no facts": lambda table: table.replace_schema_metadata({}),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_whatever_to_parquet_does_not_write_is_refused(change: Change) -> None:
    sink = BytesIO()
    pq.write_table(change(pq.read_table(BytesIO(to_parquet(table_of(SMALL))))), sink)
    with pytest.raises(DataError, match="scores"):
        from_parquet(sink.getvalue())


def test_a_small_file_that_names_more_samples_than_memory_holds_is_refused_unread() -> None:
    sink = BytesIO()
    pq.write_table(pa.table({"label": np.zeros(MAX_SAMPLES + 1, dtype=np.int64)}), sink)
    assert len(sink.getvalue()) < MAX_SAMPLES / 100
    with pytest.raises(DataError, match=f"{MAX_SAMPLES + 1} samples"):
        from_parquet(sink.getvalue())


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
