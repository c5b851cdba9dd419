"""The ablation of MCU_β."""

from mcu_core.config import CurveConfig, SelectionConfig, recommended_rung
from mcu_core.experiments.ablation import BOUNDED, LONG, SHORT, ablation_rows, variations
from mcu_core.experiments.artefacts import Artefact, cells_of, render
from mcu_core.experiments.cells import PathwayCell, unlearned_of
from mcu_core.experiments.tables import ADAPTIVE
from tests.studies import records_of, tiny_study

STUDY = tiny_study(seeds=(3, 4))


def test_the_first_variation_is_the_pathway_of_the_paper_s_tables() -> None:
    rows = {row.name: row for row in ablation_rows(STUDY)}
    assert rows["MCU_β"].cells == tuple(
        STUDY.pathway(seed, STUDY.random, unlearned_of(cell).method, ADAPTIVE)
        for seed, cell in zip(STUDY.seeds, rows["MCU_β"].cells, strict=True)
        if isinstance(cell, PathwayCell)
    )


def test_every_variation_differs_from_every_other() -> None:
    kinds = {(variation.curve, variation.selection, variation.end) for variation in variations()}
    assert len(kinds) == len(variations())


def test_a_variation_changes_one_thing_unless_its_name_says_otherwise() -> None:
    plain = variations()[0]
    for variation in variations()[1:-3]:
        changed = [
            name
            for group, default in ((variation.curve, CurveConfig()), (variation.selection, SelectionConfig()))
            for name in type(group).model_fields
            if getattr(group, name) != getattr(default, name)
        ]
        assert len(changed) + (variation.end != plain.end) == 1


def test_every_pathway_rests_on_the_row_of_its_own_end() -> None:
    rows = {row.name: row for row in ablation_rows(STUDY)}
    assert {row.rests_on for row in rows.values()} == {None, LONG, SHORT, BOUNDED}
    for row in rows.values():
        if row.rests_on is not None:
            ends = [unlearned_of(cell) for cell in row.cells if isinstance(cell, PathwayCell)]
            assert ends == list(rows[row.rests_on].cells)


def test_the_table_shows_every_variation() -> None:
    rendered = render(Artefact.ABLATION, STUDY, records_of(cells_of(Artefact.ABLATION, STUDY)))
    assert all(f"| {variation.name} |" in rendered.markdown for variation in variations())


def test_the_default_of_the_service_is_measured() -> None:
    study = STUDY.model_copy(update={"curve_epochs": None, "method_epochs": None})
    (row,) = (row for row in ablation_rows(study) if row.name == "the service's default")
    rung = recommended_rung()
    for cell in row.cells:
        assert isinstance(cell, PathwayCell)
        assert (cell.method, cell.curve, cell.selection) == (rung.pre_unlearning, rung.curve, rung.selection)
