"""Relearning: does a little training on the kept samples bring the deleted ones back?"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import RelearningPoint
from service.report_page import drawing, numbers
from service.report_page.content import Figure, Key, Table, number

HEIGHT = 394
PANEL = 135
"""Height of one panel, in units of the drawing."""
GAP = 40


def relearning(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where it was not probed."""
    points = sorted(report.evidence.facts.relearning, key=lambda point: point.epochs)
    if not points:
        return None
    before = report.evidence.positive_control[0].value if report.evidence.positive_control else None
    title = "Do the deleted samples come back?"
    message = _message(points, before)
    return Figure(
        key="relearning",
        title=title,
        message=message,
        reading="The new model is trained a little further on kept samples only. A model that merely hides what it "
        "knows recalls the deleted samples quickly: the upper line would climb towards the model before deletion. A "
        "model that has forgotten them stays near one half.",
        drawing=drawing.drawing("relearning", title, message, _marks(points, before), HEIGHT),
        legend=(
            Key(style="candidate", text="new model, trained further"),
            *([Key(style="original", text="model before deletion")] if before is not None else []),
            Key(style="chance", text="nothing remembered"),
        ),
        table=Table(
            key="relearning-data",
            caption="Deleted samples while the new model is trained further",
            columns=("epochs", "AUC", "answered correctly"),
            rows=tuple(
                (
                    number(numbers.decimal(point.epochs, 2)),
                    number(numbers.decimal(point.auc)),
                    number(numbers.percent(point.forget_accuracy)),
                )
                for point in points
            ),
        ),
        source="evidence.facts.relearning",
    )


def _message(points: Sequence[RelearningPoint], before: float | None) -> str:
    first, last = points[0], points[-1]
    epochs = "one epoch" if last.epochs == 1.0 else f"{numbers.significant(last.epochs)} epochs"
    reference = "" if before is None else f"; before deletion it was {numbers.decimal(before)}"
    return (
        f"After {epochs} the AUC of deleted against unseen samples went from "
        f"{numbers.decimal(first.auc)} to {numbers.decimal(last.auc)}{reference}. One half means that nothing is left."
    )


def _marks(points: Sequence[RelearningPoint], before: float | None) -> list[Element]:
    end = max(points[-1].epochs, 1e-9)
    ticks = [(x, numbers.significant(x)) for x in drawing.round_ticks(0.0, end, 5)]
    return [*_separability(points, before, end), *_accuracy(points, end, ticks)]


def _separability(points: Sequence[RelearningPoint], before: float | None, end: float) -> list[Element]:
    aucs = [point.auc for point in points] + ([] if before is None else [before])
    low, high = min(0.4, *aucs) - 0.02, max(0.6, *aucs) + 0.02
    plot = drawing.frame((0.0, end), (low, high), bottom=drawing.TOP + PANEL)
    marks = [
        *drawing.y_axis(
            plot, [(y, f"{y:.1f}") for y in drawing.round_ticks(low, high, 5)], "AUC, deleted against unseen"
        ),
        *drawing.x_axis(plot, []),
        drawing.across(plot, 0.5, "chance"),
    ]
    if before is not None:
        marks.append(drawing.across(plot, before, "original"))
    return marks + _line(plot, [(point.epochs, point.auc) for point in points])


def _accuracy(points: Sequence[RelearningPoint], end: float, ticks: list[tuple[float, str]]) -> list[Element]:
    top = drawing.TOP + PANEL + GAP
    plot = drawing.frame((0.0, end), (0.0, 1.0), top=top, bottom=top + PANEL)
    return [
        *drawing.y_axis(
            plot, [(y / 2, numbers.percent(y / 2, 0)) for y in range(3)], "deleted samples answered correctly"
        ),
        *drawing.x_axis(plot, ticks, "epochs of training on kept samples"),
        *_line(plot, [(point.epochs, point.forget_accuracy) for point in points]),
    ]


def _line(plot: drawing.Frame, points: list[tuple[float, float]]) -> list[Element]:
    return [drawing.line(plot, points, "candidate"), *(drawing.dot(plot, point, "candidate", 3.5) for point in points)]
