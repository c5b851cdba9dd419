"""The alignment path: accuracies along t with the chosen point and the effective region."""

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

from mcu_core.report.document import AuditReport
from mcu_core.report.parts import PathPoint, PathwayReport, References
from service.report_page import drawing, numbers
from service.report_page.content import Figure, Key, Row, Table, number

LINES: tuple[tuple[str, Callable[[PathPoint], float]], ...] = (
    ("unseen", lambda point: point.validation_accuracy),
    ("retain", lambda point: point.retain_accuracy),
    ("forget", lambda point: point.forget_accuracy),
)
"""Style of each line, and what it shows."""


def path(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where the candidate does not come from a pathway."""
    pathway, references = report.evidence.facts.pathway, report.evidence.facts.references
    points = () if pathway is None else drawn(pathway)
    if pathway is None or not points:
        return None
    title = "Where the new model was found"
    message = _message(pathway, references)
    return Figure(
        key="path",
        title=title,
        message=message,
        reading="Every point of the horizontal axis is a model on the path from the old model (t = 0) to one that was "
        "pushed far away from the deleted samples (t = 1). Wanted is a point where deleted samples are answered as "
        "well as unseen ones (dashed red) while kept samples are answered as before (dashed blue).",
        drawing=drawing.drawing("path", title, message, _marks(pathway, points, references)),
        legend=(
            Key(style="retain", text="kept samples"),
            Key(style="forget", text="deleted samples"),
            Key(style="unseen", text="unseen samples"),
            Key(style="target", text="what each should come to"),
            Key(style="region", text="effective region"),
        ),
        table=Table(
            key="path-data",
            caption="Accuracies along the path",
            columns=("t", "deleted", "kept", "unseen", "alignment gap"),
            rows=tuple(_row(point) for point in points),
        ),
        source="evidence.facts.pathway",
    )


def drawn(pathway: PathwayReport) -> tuple[PathPoint, ...]:
    """Return the points of the lines: the sweep, or what was evaluated where nothing was swept; t ascending."""
    return tuple(sorted(pathway.sweep or pathway.evaluated, key=lambda point: point.t))


def _message(pathway: PathwayReport, references: References) -> str:
    at = min((*pathway.evaluated, *pathway.sweep), key=lambda point: abs(point.t - pathway.chosen_t))
    region = " and ".join(f"{numbers.decimal(part.start)} to {numbers.decimal(part.end)}" for part in pathway.region)
    return (
        f"The new model is the one at t = {numbers.decimal(pathway.chosen_t)}: there deleted samples are answered "
        f"correctly in {numbers.percent(at.forget_accuracy)} of cases (wanted: "
        f"{numbers.percent(references.validation_accuracy)}) and kept samples in "
        f"{numbers.percent(at.retain_accuracy)} (wanted: {numbers.percent(references.train_accuracy)}). "
        + (f"Better than the end of the path: t from {region}." if region else "No region is better than its end.")
    )


def _marks(pathway: PathwayReport, points: Sequence[PathPoint], references: References) -> list[Element]:
    targets = (references.validation_accuracy, references.train_accuracy)
    lowest = min(*targets, *(value(point) for point in points for _, value in LINES))
    floor = min(0.9, int(lowest * 20) / 20)
    plot = drawing.frame((0.0, 1.0), (floor, 1.0))
    chosen = plot.x.at(pathway.chosen_t)
    left = pathway.chosen_t > 0.5
    return [
        *(drawing.area(plot, (part.start, part.end), (floor, 1.0), "region") for part in pathway.region),
        *drawing.y_axis(
            plot, [(y, numbers.percent(y, 0)) for y in drawing.round_ticks(floor, 1.0)], "share answered correctly"
        ),
        *drawing.x_axis(plot, [(t / 4, f"{t / 4:g}") for t in range(5)], "t (0: old model, 1: end of the path)"),
        drawing.across(plot, targets[0], "forget target"),
        drawing.across(plot, targets[1], "retain target"),
        *(drawing.line(plot, [(point.t, value(point)) for point in points], style) for style, value in LINES),
        *(drawing.dot(plot, (point.t, value(point)), style, radius=3.0) for point in points for style, value in LINES),
        drawing.upright(plot, pathway.chosen_t, "chosen"),
        drawing.text(
            chosen - 6 if left else chosen + 6,
            plot.y.start - 8,
            f"chosen: t = {numbers.decimal(pathway.chosen_t)}",
            "end" if left else "start",
            "remark",
        ),
    ]


def _row(point: PathPoint) -> Row:
    shares = (point.forget_accuracy, point.retain_accuracy, point.validation_accuracy, point.gap)
    return (number(numbers.decimal(point.t)), *(number(numbers.percent(share)) for share in shares))
