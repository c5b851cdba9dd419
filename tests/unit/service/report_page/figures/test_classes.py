"""The forest plot names the classes that pay."""

from mcu_core.report.evidence import ClassChange
from service.report_page.figures.classes import MOST, classes
from tests.report_parts import made, with_evidence


def change(label: int, by: float, half: float | None = 0.01) -> ClassChange:
    low, high = (None, None) if half is None else (by - half, by + half)
    return ClassChange(label=label, change=by, low=low, high=high, count=100)


def test_a_class_whose_whole_interval_is_a_loss_is_named() -> None:
    figure = made(classes, with_evidence(classes=(change(0, 0.0), change(7, -0.05), change(8, -0.005))))

    assert "The intervals of 1 of 3 classes show a loss: 7." in figure.message
    assert figure.drawing.count('class="dot lost"') == 1


def test_a_change_without_an_interval_is_drawn_open_and_without_a_bar() -> None:
    figure = made(classes, with_evidence(classes=(change(0, -0.3, half=None),)))

    assert 'class="dot plain open"' in figure.drawing
    assert "plain bar" not in figure.drawing
    assert "\N{EN DASH}" in {cell.text for cell in figure.table.rows[0]}


def test_of_many_classes_those_that_lose_most_are_drawn_and_all_are_in_the_table() -> None:
    many = tuple(change(label, label / 10_000) for label in range(MOST + 70))
    figure = made(classes, with_evidence(classes=many))

    assert figure.drawing.count("<circle") == MOST
    assert len(figure.table.rows) == len(many)
    assert f"Drawn are the {MOST} classes that lose most of {len(many)}." in figure.message
