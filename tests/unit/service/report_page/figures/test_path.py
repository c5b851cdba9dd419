"""The alignment path shows where the candidate was found."""

from mcu_core.report.parts import PathwayReport
from service.report_page.figures.path import drawn, path
from tests.figures import PATHWAY
from tests.report_parts import made, with_facts


def test_the_path_shades_the_region_and_marks_the_chosen_point() -> None:
    figure = made(path)

    assert figure.drawing.count('class="region"') == len(PATHWAY.region)
    assert f"t = {PATHWAY.chosen_t:.3f}" in figure.message
    assert f"chosen: t = {PATHWAY.chosen_t:.3f}" in figure.drawing
    assert len(figure.table.rows) == len(PATHWAY.sweep)


def test_the_path_without_a_sweep_draws_what_was_evaluated() -> None:
    bare: PathwayReport = PATHWAY.model_copy(update={"sweep": ()})

    assert [point.t for point in drawn(bare)] == sorted(point.t for point in PATHWAY.evaluated)
    assert path(with_facts(pathway=bare)) is not None


def test_without_a_pathway_there_is_no_path() -> None:
    assert path(with_facts(pathway=None)) is None
