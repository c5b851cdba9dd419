"""Forest plot of the change of accuracy of each class: does the deletion harm somebody else?"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import ClassChange
from service.report_page import drawing, numbers
from service.report_page.content import Figure, Key, Table, number
from service.report_page.content import words as cell

MOST = 30
"""Classes that are drawn; of more, those that lose most. The table has all."""
STEP = 21
"""Height of one class, in units of the drawing."""
LEAST_REACH = 0.02
"""Half the width of the axis where nothing changed: two percentage points."""


def classes(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where no class was measured."""
    changes = report.evidence.classes
    if not changes:
        return None
    shown = sorted(sorted(changes, key=lambda change: change.change)[:MOST], key=lambda change: change.label)
    title = "Does any class pay for it?"
    message = _message(changes) + (
        f" Drawn are the {MOST} classes that lose most of {len(changes)}." if len(changes) > MOST else ""
    )
    return Figure(
        key="classes",
        title=title,
        message=message,
        reading="Each row is one class of test samples. The mark says by how many percentage points its accuracy "
        "changed, the bar how uncertain that is. Left of the line: worse than before. A bar that lies left of the line "
        "altogether shows a loss; among many classes a few such bars come about by chance.",
        drawing=drawing.drawing(
            "classes", title, message, _marks(shown), drawing.TOP + len(shown) * STEP + drawing.BOTTOM
        ),
        legend=(
            Key(style="plain mark", text="change with interval"),
            Key(style="lost mark", text="interval shows a loss"),
        ),
        table=Table(
            key="classes-data",
            caption="Change of test accuracy of each class, in percentage points",
            columns=("class", "change", "low", "high", "samples"),
            rows=tuple(
                (
                    cell(str(change.label)),
                    number(numbers.points(change.change)),
                    number(numbers.MISSING if change.low is None else numbers.points(change.low)),
                    number(numbers.MISSING if change.high is None else numbers.points(change.high)),
                    number(numbers.count(change.count)),
                )
                for change in changes
            ),
        ),
        source="evidence.classes",
    )


def lost(change: ClassChange) -> bool:
    """Return whether the whole interval is a loss."""
    return change.high is not None and change.high < 0.0


def _message(changes: Sequence[ClassChange]) -> str:
    losers = [change for change in changes if lost(change)]
    worst = min(changes, key=lambda change: change.change)
    said = (
        f"Class {worst.label} loses most, {numbers.points(worst.change)} percentage points."
        if worst.change < 0.0
        else "No class has become worse."
    )
    if not losers:
        return f"No class has an interval that shows a loss. {said}"
    named = ", ".join(str(change.label) for change in losers[:8]) + (" and others" if len(losers) > 8 else "")
    return f"The intervals of {len(losers)} of {len(changes)} classes show a loss: {named}. {said}"


def _marks(shown: Sequence[ClassChange]) -> list[Element]:
    ends = [abs(end) for change in shown for end in (change.change, change.low, change.high) if end is not None]
    reach = 1.08 * max(LEAST_REACH, *ends)  # so that no end lies on the border
    bottom = drawing.TOP + len(shown) * STEP
    plot = drawing.frame((-reach, reach), (0.0, float(len(shown))), bottom=bottom)
    marks = [
        drawing.text(2, drawing.TOP - 16, "class", "start", "name"),
        drawing.text(plot.x.at(0.0) - 10, drawing.TOP - 16, "\N{LEFTWARDS ARROW} worse", "end", "tick"),
        drawing.text(plot.x.at(0.0) + 10, drawing.TOP - 16, "better \N{RIGHTWARDS ARROW}", "start", "tick"),
        *drawing.x_axis(
            plot,
            [(x, numbers.points(x)) for x in drawing.round_ticks(-reach, reach, 5)],
            "change of accuracy, percentage points",
        ),
        drawing.upright(plot, 0.0, "zero"),
    ]
    for index, change in enumerate(shown):
        y = len(shown) - index - 0.5
        style = "lost" if lost(change) else "plain"
        marks.append(drawing.text(plot.x.start - 7, plot.y.at(y) + 4, str(change.label), "end", "tick"))
        if change.low is not None and change.high is not None:
            marks.append(drawing.line(plot, [(change.low, y), (change.high, y)], f"{style} bar"))
        marks.append(drawing.dot(plot, (change.change, y), style if change.low is not None else f"{style} open"))
    return marks
