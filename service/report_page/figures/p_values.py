"""Distribution of the conformal p-values: of each deleted sample, and of unseen ones as a check of the instrument."""

from bisect import bisect_right
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from mcu_core.report.document import AuditReport
from service.report_page import drawing, numbers
from service.report_page.content import Figure, Key, Table, number

MOST_STEPS = 200
"""Of a drawn line; more cannot be seen."""
FEW = 40
"""Up to so many deleted samples each has a mark of its own."""
GRID = tuple(step / 20 for step in range(1, 21))
"""p-values at which the table gives the shares."""


def p_values(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where there are no p-values."""
    deleted, unseen = sorted(report.evidence.individuals.p_two), sorted(report.evidence.figures.p_values)
    if not deleted:
        return None
    title = "Does any single person stand out?"
    smallest = report.evidence.individuals.smallest
    message = (
        f"{numbers.percent(share_up_to(deleted, 0.05))} of the deleted samples have a p-value of at most 0.05. "
        f"The most conspicuous of {numbers.counted(len(deleted), 'deleted sample')}, corrected for having looked at "
        f"all of them: {numbers.p_phrase(smallest)}."
    )
    legend = [Key(style="candidate", text="deleted samples")]
    legend += [Key(style="unseen", text="unseen samples (check of the instrument)")] if unseen else []
    return Figure(
        key="p-values",
        title=title,
        message=message,
        reading="For each deleted sample a p-value says how unusual the model's answer to it is among unseen samples "
        "of its class; small is unusual. A line on the diagonal, or below it, is what unseen samples give. A line that "
        "rises steeply at the left would mean that some deleted samples stand out.",
        drawing=drawing.drawing("p-values", title, message, _marks(deleted, unseen)),
        legend=(*legend, Key(style="chance", text="what chance alone gives")),
        table=Table(
            key="p-values-data",
            caption="Share of samples with a p-value of at most the one in the first column",
            columns=("p-value", "deleted", "unseen") if unseen else ("p-value", "deleted"),
            rows=tuple(
                (
                    number(numbers.decimal(p, 2)),
                    *(number(numbers.percent(share_up_to(given, p))) for given in (deleted, unseen) if given),
                )
                for p in GRID
            ),
        ),
        source="evidence.individuals and evidence.figures.p_values",
    )


def share_up_to(p_values: Sequence[float], p: float) -> float:
    """Return the share of the p-values, ascending, that are at most p."""
    return bisect_right(p_values, p) / len(p_values)


def cumulative(p_values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the corners of the distribution function of ascending p-values, from (0, 0) to (1, 1), thinned."""
    count = len(p_values)
    heights = [(p, (rank + 1) / count) for rank, p in enumerate(p_values)]
    return [(0.0, 0.0), *drawing.thinned(heights, MOST_STEPS), (1.0, 1.0)]


def _marks(deleted: Sequence[float], unseen: Sequence[float]) -> list[Element]:
    plot = drawing.frame((0.0, 1.0), (0.0, 1.0))
    marks = [
        *drawing.y_axis(plot, [(y / 4, numbers.percent(y / 4, 0)) for y in range(5)], "share of samples up to there"),
        *drawing.x_axis(plot, [(p / 4, f"{p / 4:g}") for p in range(5)], "p-value"),
        drawing.line(plot, [(0.0, 0.0), (1.0, 1.0)], "chance"),
    ]
    if unseen:
        marks.append(drawing.steps(plot, cumulative(unseen), "unseen"))
    marks.append(drawing.steps(plot, cumulative(deleted), "candidate"))
    if len(deleted) <= FEW:
        ranked = enumerate(deleted)
        marks += [drawing.dot(plot, (p, (rank + 1) / len(deleted)), "candidate", 3.5) for rank, p in ranked]
    return marks
