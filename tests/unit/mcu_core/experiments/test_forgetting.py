"""The comparison of objectives under an audit with references of its own."""

import pytest
import torch
from torch import Tensor

from mcu_core.experiments.artefacts import Artefact, cells_of, render
from mcu_core.experiments.cells import AuditedCell, Cost, PathwayCell, RetrainedCell, UnlearnedCell, dependencies
from mcu_core.experiments.forgetting import (
    AUDITORS,
    JUDGES,
    TEACHERS,
    deletion_of_study,
    family,
    forgetting_rows,
    teacher_cells,
    worlds,
)
from mcu_core.experiments.paper import Study
from mcu_core.experiments.setup import HardestCount, WholeClass, draw_split, draw_train
from tests.studies import records_of, tiny_samples, tiny_study

STUDY = tiny_study(seeds=(3, 4)).model_copy(update={"folds": 2})
HARDEST = STUDY.model_copy(update={"hardest": True, "count": 8})
CLASS = STUDY.model_copy(update={"label": 1})


def losses(rows: Tensor) -> Tensor:
    """Return a loss that everybody knows."""
    return (rows * 37 % 101).double()


def test_every_model_is_audited_by_one_family_that_taught_nobody() -> None:
    cells = cells_of(Artefact.FORGETTING, STUDY)
    audits = [cell for cell in cells if isinstance(cell, AuditedCell)]
    assert {audit.of for audit in audits} == set(cells) - set(audits) - set(teacher_cells(STUDY))
    assert {audit.family.seed for audit in audits} == {AUDITORS}
    taught = [cell for cell in cells if isinstance(cell, UnlearnedCell | PathwayCell) and cell.teachers]
    assert {teacher.seed for cell in taught for teacher in cell.teachers} == {TEACHERS}
    assert len(taught) == 2 * len(STUDY.seeds)


def test_seeds_share_the_training_set_of_the_first_and_nothing_else() -> None:
    first, second = worlds(STUDY)
    assert first == STUDY.world(3), "the first seed's cells are those of the other tables"
    assert (second.seed, second.draw_seed) == (4, 3)
    assert torch.equal(draw_train(tiny_samples(), first)[0], draw_train(tiny_samples(), second)[0])


def test_every_pathway_ends_in_a_row_of_the_table() -> None:
    rows = {row.name: row for row in forgetting_rows(STUDY)}
    for row in rows.values():
        if row.rests_on is not None:
            ends = rows[row.rests_on].cells
            assert all(ends[i] in dependencies(cell) for i, cell in enumerate(row.cells))


def test_the_hardest_samples_are_those_of_highest_loss_among_trained_and_unseen_alike() -> None:
    world, samples = HARDEST.world(3), tiny_samples()
    deletion = HardestCount(count=8, family=family(HARDEST, JUDGES))
    split = draw_split(samples, world, deletion, losses=losses)
    train, sealed = draw_train(samples, world)
    kept = train[~torch.isin(train, split.forget)]
    assert len(split.forget) == 8
    assert float(losses(split.forget).min()) >= float(losses(kept).max())
    labels = samples.data.labels
    for label in sorted(set(labels[split.forget].tolist())):
        of_class = sealed[labels[sealed] == label]
        chosen, easier = (of_class[torch.isin(of_class, split.sealed) == wanted] for wanted in (True, False))
        share = int((labels[split.forget] == label).sum()) / int((labels[train] == label).sum())
        assert len(chosen) == max(1, round(share * len(of_class)))
        assert float(losses(chosen).min()) >= float(losses(easier).max())
    assert set(labels[split.sealed].tolist()) == set(labels[split.forget].tolist())


def test_what_says_what_is_hard_is_trained_before_anything_is_forgotten() -> None:
    for row in forgetting_rows(HARDEST):
        for cell in row.cells:
            judges = [need for need in dependencies(cell) if need.kind == "reference" and need.family.seed == JUDGES]
            assert [judge.fold for judge in judges] == [0, 1]


@pytest.mark.parametrize(
    ("study", "forgotten"), [(STUDY, "random samples"), (HARDEST, "8 hardest samples"), (CLASS, "Class 1 is forgotten")]
)
def test_the_table_shows_both_aucs_and_says_what_was_forgotten(study: Study, forgotten: str) -> None:
    rendered = render(Artefact.FORGETTING, study, records_of(cells_of(Artefact.FORGETTING, study)))
    assert "| calibrated AUC | seeds covering .5 |" in rendered.markdown
    assert forgotten in rendered.markdown
    assert all(row["calibrated_auc"]["values"] == [0.5, 0.5] for row in rendered.data["rows"])
    assert all(row["calibrated_covers_half"] == 2 for row in rendered.data["rows"])


def test_the_table_says_what_one_family_of_references_costs() -> None:
    records = dict(records_of(cells_of(Artefact.FORGETTING, STUDY)))
    first, second = teacher_cells(STUDY)
    for cell, trained, cpu_seconds in ((first, 4_500, 500.0), (second, 13_500, 700.0)):
        spent = {"retrain": Cost(seconds=1.0, cpu_seconds=cpu_seconds, trained=trained)}
        records[cell] = records[cell].model_copy(update={"costs": spent})
    rendered = render(Artefact.FORGETTING, STUDY, records)
    assert "One family of references: 12.0 epochs (CPU) / 20.0 (images)." in rendered.markdown
    assert rendered.data["one_family"]["epochs_by_images"]["values"] == pytest.approx([20.0, 20.0])


def test_nothing_is_said_of_a_family_s_cost_where_every_rt_diverged() -> None:
    records = dict(records_of(cells_of(Artefact.FORGETTING, STUDY)))
    lost = {"metrics": None, "diverged": "in epoch 1"}
    truths = {cell: truth.model_copy(update=lost) for cell, truth in records.items() if isinstance(cell, RetrainedCell)}
    rendered = render(Artefact.FORGETTING, STUDY, records | truths)
    assert "One family" not in rendered.markdown
    assert rendered.data["one_family"] is None


def test_calibrated_tails_are_shown_where_the_record_has_them() -> None:
    cells = cells_of(Artefact.FORGETTING, STUDY)
    records = dict(records_of(cells))
    rows = render(Artefact.FORGETTING, STUDY, records).data["rows"]
    assert all(row["calibrated_upper_tail"]["values"] == [0.01, 0.01] for row in rows)
    for cell in cells:
        if isinstance(cell, AuditedCell):
            records[cell] = records[cell].model_copy(update={"calibrated_tails": ()})
    older = render(Artefact.FORGETTING, STUDY, records)
    assert all(row["calibrated_lower_tail"] is None for row in older.data["rows"])
    assert "| 0.500 ± 0.000 | 2 of 2 | – | – | 0.00 ± 0.00 |" in older.markdown


@pytest.mark.parametrize(("study", "is_same"), [(STUDY, False), (HARDEST, True), (CLASS, True)])
def test_the_table_says_where_all_seeds_forget_the_same(study: Study, is_same: bool) -> None:
    markdown = render(Artefact.FORGETTING, study, records_of(cells_of(Artefact.FORGETTING, study))).markdown
    assert ("± is over trainings" in markdown) == is_same
    forgotten = [
        draw_split(tiny_samples(), world, deletion_of_study(study), losses=losses).forget for world in worlds(study)
    ]
    assert torch.equal(*(rows.sort().values for rows in forgotten)) == is_same


def test_a_class_that_is_named_is_forgotten_in_place_of_samples() -> None:
    assert deletion_of_study(CLASS) == WholeClass(label=1)
    assert deletion_of_study(CLASS.model_copy(update={"label": 0})) == WholeClass(label=0)
    assert deletion_of_study(STUDY) == STUDY.random
