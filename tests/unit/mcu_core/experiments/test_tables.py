import pytest

from mcu_core.experiments.cells import Cell, CellRecord, PathwayCell, UnlearnedCell, cell_digest, unlearned_of
from mcu_core.experiments.markdown import (
    audit_table,
    divergences,
    mask_line,
    paper_table,
    pathway_notes,
    reduction_table,
    table,
)
from mcu_core.experiments.tables import (
    ADAPTIVE,
    Row,
    RowSummary,
    reduction,
    summarise,
    summary,
    table_rows,
    whole_cost,
)
from mcu_core.report import PathPoint
from tests.studies import metrics_of, record_of, tiny_study

STUDY = tiny_study(seeds=(0, 1))


def rows_and_records(*, per_method: bool = True) -> tuple[tuple[Row, ...], dict[Cell, CellRecord]]:
    rows = table_rows(STUDY, STUDY.random, per_method=per_method)
    return rows, {cell: record_of(cell) for row in rows for cell in row.cells}


def summarised(rows: tuple[Row, ...], records: dict[Cell, CellRecord]) -> dict[str, RowSummary]:
    found = summarise(rows, records, {cell: cell_digest(cell) for cell in records})
    return {row.name: row for row in found}


def diverge(records: dict[Cell, CellRecord], cells: tuple[Cell, ...]) -> None:
    for cell in cells:
        update = {"metrics": None, "chosen": None, "diverged": "diverged in epoch 1: lower the rate"}
        records[cell] = records[cell].model_copy(update=update)


def cells_named(rows: tuple[Row, ...], name: str) -> tuple[Cell, ...]:
    return next(row for row in rows if row.name == name).cells


def test_table_1_has_each_method_with_and_without_a_pathway() -> None:
    names = [row.name for row in rows_and_records()[0]]
    assert names[:4] == ["Original", "RT", "FT", "MCU_β-FT"]
    assert len(names) == 14


def test_table_2_has_both_pathways_from_neggrad_plus() -> None:
    rows, _ = rows_and_records(per_method=False)
    assert [row.name for row in rows[2:]] == ["FT", "RL", "GA", "NegGrad+", "SalUn", "NegTV", "MCU", "MCU_β"]
    assert {row.rests_on for row in rows[-2:]} == {"NegGrad+"}
    assert rows[-1].cells != rows[-2].cells


def test_every_pathway_ends_in_the_model_of_its_own_row() -> None:
    rows, _ = rows_and_records()
    by_name = {row.name: row for row in rows}
    for row in rows:
        if row.rests_on is not None:
            ends = [unlearned_of(cell) for cell in row.cells if isinstance(cell, PathwayCell)]
            assert tuple(ends) == by_name[row.rests_on].cells


def test_class_wise_settings_are_the_papers() -> None:
    rows = {row.name: row for row in table_rows(STUDY, STUDY.whole_class, per_method=False)}
    negation, _ = rows["NegTV"].cells
    assert isinstance(negation, UnlearnedCell)
    assert negation.method.kind == "neg_task_vector"
    assert negation.method.scale == 0.2
    paper = STUDY.model_copy(update={"curve_epochs": None})
    assert paper.curve(STUDY.whole_class, ADAPTIVE).train.epochs == 5


def test_mean_and_sample_deviation() -> None:
    found = summary([1.0, 2.0, 6.0])
    assert found is not None
    assert found.mean == pytest.approx(3.0)
    assert found.deviation == pytest.approx(7.0**0.5)


def test_one_seed_has_no_deviation_and_none_no_number() -> None:
    single = summary([4.0])
    assert single is not None
    assert single.deviation is None
    assert summary([]) is None


def test_gaps_are_taken_seed_by_seed() -> None:
    """Seeds that err in opposite directions do not cancel out."""
    rows, records = rows_and_records()
    for cell, unlearning in zip(next(row for row in rows if row.name == "FT").cells, (0.05, 0.15), strict=True):
        found = metrics_of(unlearning=unlearning, retain=0.99, test=0.90, attack=0.20)
        records[cell] = records[cell].model_copy(update={"metrics": found})
    row = summarised(rows, records)["FT"]
    assert row.metrics["UA"].value.mean == pytest.approx(0.10)
    assert row.metrics["UA"].gap is not None
    assert row.metrics["UA"].gap.mean == pytest.approx(0.05)
    assert row.average_gap is not None
    assert row.average_gap.mean == pytest.approx(0.05 / 4)


def test_a_pathway_costs_what_its_end_took_as_well() -> None:
    rows, records = rows_and_records()
    (cell, _) = next(row for row in rows if row.name == "MCU_β-GA").cells
    cost = whole_cost(records[cell], records)
    assert (cost.seconds, cost.cpu_seconds, cost.trained) == (60.0 + 120.0, 50.0 + 100.0, 450 + 900)


def test_cost_is_counted_in_epochs_of_retraining() -> None:
    row = summarised(*rows_and_records())["MCU_β-GA"]
    assert row.epochs_by_cpu is not None
    assert row.epochs_by_images is not None
    assert row.epochs_by_cpu.mean == pytest.approx(150.0 / 100.0)
    assert row.epochs_by_images.mean == pytest.approx((1350 + 0.4 * 250) / 900)


def test_the_reduction_is_that_of_the_avg_gap() -> None:
    rows = summarised(*rows_and_records())
    before, after = (0.04 + 0.08) / 4, (0.01 + 0.01 + 0.02) / 4
    assert reduction(rows["MCU_β-FT"], rows["FT"]) == pytest.approx(1.0 - after / before)


def test_a_seed_that_diverged_is_told_and_left_out() -> None:
    rows, records = rows_and_records()
    first, second = next(row for row in rows if row.name == "GA").cells
    records[first] = records[first].model_copy(update={"metrics": None, "diverged": "too fast"})
    row = summarised(rows, records)["GA"]
    assert row.diverged == 1
    assert row.metrics["UA"].value.values == (0.06,)
    assert "GA (diverged: 1 of 2)" in paper_table(list(summarised(rows, records).values()))
    records[second] = records[second].model_copy(update={"metrics": None, "diverged": "too fast"})
    text = paper_table(list(summarised(rows, records).values()))
    assert "| GA (diverged: 2 of 2) | diverged | – | – | – | – | – |" in text


@pytest.mark.parametrize("lost", ["FT", "MCU_β-FT", "RT"])
def test_the_reduction_is_over_the_seeds_that_both_have(lost: str) -> None:
    """The seed that is left out would have changed either mean alone."""
    rows, records = rows_and_records()
    expected = reduction(*(summarised(rows, records)[name] for name in ("MCU_β-FT", "FT")))
    first, second = (cells_named(rows, name)[1] for name in ("FT", "MCU_β-FT"))
    for cell, unlearning in ((first, 0.5), (second, 0.3)):
        found = metrics_of(unlearning=unlearning, retain=0.99, test=0.90, attack=0.20)
        records[cell] = records[cell].model_copy(update={"metrics": found})
    diverge(records, cells_named(rows, lost)[1:])
    found_rows = summarised(rows, records)
    assert reduction(found_rows["MCU_β-FT"], found_rows["FT"]) == pytest.approx(expected)
    assert f"| MCU_β-FT | 3.00 | 1.00 | {100 * (expected or 0.0):.1f} % |" in reduction_table(list(found_rows.values()))


def test_seeds_that_never_meet_reduce_nothing() -> None:
    rows, records = rows_and_records()
    diverge(records, cells_named(rows, "FT")[:1])
    diverge(records, cells_named(rows, "MCU_β-FT")[1:])
    found = summarised(rows, records)
    assert found["FT"].average_gap is not None
    assert reduction(found["MCU_β-FT"], found["FT"]) is None


def test_a_model_is_not_said_to_diverge_where_rt_did() -> None:
    rows, records = rows_and_records()
    diverge(records, cells_named(rows, "RT")[:1])
    found = summarised(rows, records)
    assert (found["RT"].diverged, found["FT"].diverged) == (1, 0)
    assert found["FT"].metrics["UA"].value.values == (0.06, 0.06)
    lost, kept = found["FT"].gaps
    assert lost is None
    assert kept == pytest.approx(0.03)
    assert divergences(list(found.values())) == (
        "Diverged: RT in 1 of 2 seeds (diverged in epoch 1). Where RT did, no model of its seed has a gap."
    )


def test_without_any_rt_the_columns_keep_their_names_and_gaps_are_unknown() -> None:
    rows, records = rows_and_records()
    diverge(records, cells_named(rows, "RT"))
    lines = paper_table(list(summarised(rows, records).values())).splitlines()
    assert lines[0] == "| Methods | UA | RA | TA | MIA | Avg. Gap | RTE (min) |"
    assert lines[2] == "| RT (diverged: 2 of 2) | diverged | – | – | – | – | – |"
    assert lines[3].startswith("| FT | 6.00 ± 0.00 (–) |")


def test_a_table_of_which_nothing_is_left_has_its_columns() -> None:
    rows, records = rows_and_records()
    diverge(records, tuple(records))
    lines = paper_table(list(summarised(rows, records).values())).splitlines()
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_nothing_is_said_of_divergence_where_there_is_none() -> None:
    assert divergences(list(summarised(*rows_and_records()).values())) is None


@pytest.mark.parametrize(
    ("forget", "nonmembers", "shown"), [(100, 2000, "1.00 ± 0.00"), (99, 2000, "–"), (100, 1999, "–"), (1, 4096, "–")]
)
def test_a_tail_is_shown_where_samples_suffice(forget: int, nonmembers: int, shown: str) -> None:
    rows, records = rows_and_records()
    last = cells_named(rows, "FT")[1]
    found = metrics_of(unlearning=0.1, retain=0.9, test=0.9, attack=0.2, forget=forget, nonmembers=nonmembers)
    records[last] = records[last].model_copy(update={"metrics": found})
    row = summarised(rows, records)["FT"]
    assert (row.upper_tail is None, row.lower_tail is None) == (shown == "–", shown == "–")
    assert f"| 0.00 ± 0.00 | {shown} | {shown} |" in audit_table([row])


def test_masks_are_told_as_they_were_in_effect() -> None:
    note = "full, since few tensors would move"
    assert mask_line([(1.0, note)] * 3) == "Mask: full, since few tensors would move (3 of 3 pathways)."
    assert mask_line([(0.301, None), (1.0, note), (0.482, None)]) == (
        "Mask: full, since few tensors would move (1 of 3 pathways); "
        "30.1 to 48.2 % of the elements, as asked for (2 of 3 pathways)."
    )


def test_a_table_tells_the_masks_of_all_its_pathways_and_the_dearest_choice() -> None:
    rows, records = rows_and_records()
    first, second = cells_named(rows, "MCU_β-FT")
    point = PathPoint(t=0.5, forget_accuracy=0.9, retain_accuracy=0.9, validation_accuracy=0.9, gap=0.1)
    for cell, points in ((first, 5), (second, 8)):
        chosen = records[cell].chosen
        assert chosen is not None
        update = {"evaluated": (point,) * points, "mask_share": 1.0, "mask_note": "full, since"}
        records[cell] = records[cell].model_copy(update={"chosen": chosen.model_copy(update=update)})
    found = summarised(rows, records)
    assert found["FT"].mask_share is None
    assert found["MCU_β-FT"].mask_share == summary([1.0, 1.0])
    assert found["MCU_β-FT"].points_for_choice == summary([5.0, 8.0])
    assert "66.7 % | 6.5 (8) |" in reduction_table(list(found.values()))
    assert pathway_notes(list(found.values())).startswith(
        "Mask: full, since (2 of 12 pathways); 50.0 % of the elements, as asked for (10 of 12 pathways)."
    )


def test_the_table_reads_as_the_papers() -> None:
    lines = paper_table(list(summarised(*rows_and_records()).values())).splitlines()
    assert lines[0] == "| Methods | UA | RA | TA | MIA | Avg. Gap | RTE (min) |"
    assert lines[2] == (
        "| RT | 10.00 ± 0.00 (0.00) | 99.00 ± 0.00 (0.00) | 90.00 ± 0.00 (0.00) | 20.00 ± 0.00 (0.00) | 0.00 "
        "| 10.00 ± 0.00 |"
    )
    assert lines[3].startswith("| FT | 6.00 ± 0.00 (4.00) |")
    assert len(lines) == 2 + 13


def test_the_original_is_in_the_audit_table_alone() -> None:
    rows = list(summarised(*rows_and_records()).values())
    assert "Original" in audit_table(rows)
    assert "Original" not in paper_table(rows)


def test_the_mean_reduction_is_over_pathways() -> None:
    rows = list(summarised(*rows_and_records()).values())
    assert reduction_table(rows).splitlines()[-1] == "| mean |  |  | 66.7 % |  |"


def test_a_markdown_table_has_its_rule() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
