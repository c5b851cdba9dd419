"""Histograms of the primary signal: deleted against unseen samples, before and after."""

from xml.etree.ElementTree import Element

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Group, Histogram, Role
from service.report_page import drawing, numbers, words
from service.report_page.content import Figure, Key, Table, number

PANELS = ((Role.ORIGINAL, "before deletion"), (Role.CANDIDATE, "after deletion"))
HEIGHT = 394
PANEL = 135
"""Height of one panel, in units of the drawing."""
GAP = 40


def histograms(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where a histogram of the four is missing."""
    found = {(shown.role, shown.group): shown for shown in report.evidence.figures.histograms}
    needed = [(role, group) for role, _ in PANELS for group in (Group.FORGET, Group.EVALUATION)]
    if any(key not in found or sum(found[key].counts) == 0 for key in needed):
        return None
    signal = words.SIGNALS[report.plan.primary_signal]
    title = "How surely the model answers"
    message = (
        "Deleted and unseen samples overlap by "
        f"{numbers.percent(overlap(*(found[key] for key in needed[:2])))} before deletion and by "
        f"{numbers.percent(overlap(*(found[key] for key in needed[2:])))} after it. "
        "When nothing is remembered the two shapes coincide, but for the noise of few samples."
    )
    return Figure(
        key="histograms",
        title=title,
        message=message,
        reading=f"Each sample gets a score ({signal}): the further right, the more it looks like one that the model "
        "was trained on. Filled: the deleted samples. Outlined: samples that no model was trained on. Shown is the "
        "share of samples in each bin.",
        drawing=drawing.drawing("histograms", title, message, _marks(found, signal), HEIGHT),
        legend=(Key(style="forget fill", text="deleted samples"), Key(style="unseen", text="unseen samples")),
        table=_table([found[key] for key in needed], signal),
        source="evidence.figures.histograms",
    )


def overlap(one: Histogram, other: Histogram) -> float:
    """Return the area that two histograms of common bins share: sum over bins of min(share, share), in [0, 1]."""
    return sum(min(pair) for pair in zip(shares(one), shares(other), strict=True))


def shares(shown: Histogram) -> list[float]:
    """Return the share of the samples in each bin."""
    total = sum(shown.counts)
    return [counted / total for counted in shown.counts]


def _marks(found: dict[tuple[Role, Group], Histogram], signal: str) -> list[Element]:
    highest = max(max(shares(shown)) for (role, _), shown in found.items() if role in dict(PANELS))
    marks: list[Element] = []
    for index, (role, name) in enumerate(PANELS):
        top = drawing.TOP + index * (PANEL + GAP)
        edges = found[role, Group.FORGET].edges
        plot = drawing.frame((edges[0], edges[-1]), (0.0, highest), top=top, bottom=top + PANEL)
        ticks = [(y, numbers.percent(y, 0 if highest > 0.04 else 1)) for y in drawing.round_ticks(0.0, highest, 4)]
        marks += drawing.y_axis(plot, ticks, f"share of samples, {name}")
        marks.append(drawing.silhouette(plot, _corners(found[role, Group.FORGET]), "forget"))
        marks.append(drawing.steps(plot, _corners(found[role, Group.EVALUATION]), "unseen"))
        last = index == len(PANELS) - 1
        values = [(x, numbers.significant(x)) for x in drawing.round_ticks(edges[0], edges[-1])]
        marks += drawing.x_axis(plot, values if last else [], f"score ({signal})" if last else "")
    return marks


def _corners(shown: Histogram) -> list[tuple[float, float]]:
    return [(shown.edges[0], 0.0), *zip(shown.edges, shares(shown), strict=False), (shown.edges[-1], 0.0)]


def _table(found: list[Histogram], signal: str) -> Table:
    edges = found[0].edges
    rows = zip(edges, edges[1:], *(shown.counts for shown in found), strict=False)
    return Table(
        key="histograms-data",
        caption=f"Samples in each bin of the score ({signal})",
        columns=("from", "to", "deleted, before", "unseen, before", "deleted, after", "unseen, after"),
        rows=tuple(
            (
                number(numbers.decimal(left, 2)),
                number(numbers.decimal(right, 2)),
                *(number(numbers.count(counted)) for counted in counts),
            )
            for left, right, *counts in rows
        ),
    )
