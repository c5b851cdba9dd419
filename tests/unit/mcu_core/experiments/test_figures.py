import pytest

from mcu_core.config import MaskMode
from mcu_core.errors import ConfigurationError
from mcu_core.experiments.artefacts import Artefact, cells_of, is_table, render
from mcu_core.experiments.cells import SweepPoint
from mcu_core.experiments.figures import draw_figure
from mcu_core.experiments.panels import Figure, distance, figure_cells, figure_markdown, figure_numbers, panels
from tests.studies import records_of, tiny_study

STUDY = tiny_study()


@pytest.mark.parametrize("figure", Figure)
def test_every_figure_is_drawn_and_the_same_numbers_give_the_same_file(figure: Figure) -> None:
    numbers = figure_numbers(figure, STUDY, records_of(figure_cells(figure, STUDY)))
    first, second = draw_figure(numbers), draw_figure(numbers)
    assert first["svg"] == second["svg"]
    assert numbers.title.encode() in first["svg"]
    assert first["png"].startswith(b"\x89PNG")


@pytest.mark.parametrize("figure", [Figure.REGION, Figure.MASK, Figure.SHARE_POINTS])
def test_a_pathway_that_diverged_leaves_a_gap_that_a_panel_tells_of(figure: Figure) -> None:
    cells = figure_cells(figure, STUDY)
    records = dict(records_of(cells))
    for cell in cells:
        records[cell] = records[cell].model_copy(update={"sweep": None, "chosen": None, "diverged": "too fast"})
    numbers = figure_numbers(figure, STUDY, records)
    assert numbers.panels[0].best_gap is None
    assert (b"diverged" in draw_figure(numbers)["svg"]) == (figure is Figure.REGION)


def test_figure_3_shares_its_pathway_with_table_1() -> None:
    assert figure_cells(Figure.REGION, STUDY)[0] in cells_of(Artefact.TABLE1, STUDY)


def test_a_figure_shows_one_seed() -> None:
    with pytest.raises(ConfigurationError, match="one seed, got 2"):
        panels(Figure.BETA, tiny_study(seeds=(0, 1)))


def test_the_paper_s_default_is_marked_once_and_is_the_default_cell() -> None:
    for figure in (Figure.BETA, Figure.SHARE_POINTS):
        marked = [panel.cell for panel in panels(figure, STUDY) if panel.is_default]
        assert marked == [figure_cells(Figure.REGION, STUDY)[0]]


@pytest.mark.parametrize("figure", [Figure.MASK, Figure.KEEP, Figure.EXCLUDE])
def test_no_mask_that_a_figure_varies_is_widened_or_called_the_default(figure: Figure) -> None:
    found = panels(figure, STUDY)
    masks = [panel.cell.curve.mask for panel in found]
    assert all(mask.least_tensors == 1 for mask in masks if mask.mode is not MaskMode.FULL)
    assert not any(panel.is_default for panel in found)


def test_figure_2_compares_no_mask_three_masks_and_a_random_one() -> None:
    modes = [panel.cell.curve.mask.mode for panel in panels(Figure.MASK, STUDY)]
    assert modes == [MaskMode.FULL, *[MaskMode.SEQUENTIAL] * 3, MaskMode.RANDOM]


@pytest.mark.parametrize("figure", [Figure.MASK, Figure.KEEP, Figure.EXCLUDE])
def test_every_panel_tells_the_share_that_its_curve_could_move(figure: Figure) -> None:
    cells = figure_cells(figure, STUDY)
    records = dict(records_of(cells))
    chosen = records[cells[2]].chosen
    assert chosen is not None
    update = {"chosen": chosen.model_copy(update={"mask_share": 1.0, "mask_note": "full, since few would move"})}
    records[cells[2]] = records[cells[2]].model_copy(update=update)
    numbers = figure_numbers(figure, STUDY, records)
    drawn = draw_figure(numbers)["svg"].decode()
    count = len(numbers.panels)
    assert (drawn.count("mask: 50 %"), drawn.count("mask: 100 %")) == (count - 1, 1)
    assert f"Mask: full, since few would move (1 of {count} pathways); 50.0 % of" in figure_markdown(numbers)


def test_the_gap_beside_the_chosen_t_says_where_it_was_measured() -> None:
    numbers = figure_numbers(Figure.REGION, STUDY, records_of(figure_cells(Figure.REGION, STUDY)))
    panel = numbers.panels[0]
    assert panel.sweep is not None
    assert panel.chosen_t == 0.8
    assert panel.near_t == min((point.t for point in panel.sweep.points), key=lambda t: abs(t - 0.8)) != 0.8
    at_near = next(point for point in panel.sweep.points if point.t == panel.near_t)
    assert panel.near_gap == distance(at_near, panel.sweep.retrained)


def test_the_star_is_at_the_least_distance_to_the_retrained_model() -> None:
    (panel, _) = figure_numbers(Figure.REGION, STUDY, records_of(figure_cells(Figure.REGION, STUDY))).panels
    assert panel.best_t == pytest.approx(0.75, abs=1 / 19)
    assert panel.end_gap == pytest.approx(0.25 / 10 / 3)
    assert panel.sweep is not None
    assert panel.best_gap == min(distance(point, panel.sweep.retrained) for point in panel.sweep.points)


def test_the_distance_counts_the_forgotten_class_where_there_is_one() -> None:
    truth = SweepPoint(t=0.0, forget=0.9, retain=1.0, test=0.9)
    point = SweepPoint(t=0.5, forget=0.8, retain=1.0, test=0.85)
    assert distance(point, truth) == pytest.approx(0.15 / 3)
    with_class = (one.model_copy(update={"class_test": value}) for one, value in ((point, 0.2), (truth, 0.0)))
    assert distance(*with_class) == pytest.approx(0.35 / 4)


@pytest.mark.parametrize("artefact", Artefact)
def test_every_artefact_is_rendered_from_the_records_of_its_cells(artefact: Artefact) -> None:
    rendered = render(artefact, STUDY, records_of(cells_of(artefact, STUDY)))
    assert rendered.data["artefact"] == artefact.value
    assert rendered.data["environments"][0]["processor"] == "abacus"
    assert "seeds 0; computed on abacus" in rendered.markdown
    assert set(rendered.images) == (set() if is_table(artefact) else {"svg", "png"})


def test_one_seed_is_finished_before_the_next() -> None:
    study = tiny_study(seeds=(0, 1))
    cells = cells_of(Artefact.TABLE2, study)
    assert cells[: len(cells) // 2] == cells_of(Artefact.TABLE2, tiny_study(seeds=(0,)))
