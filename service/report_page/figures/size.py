"""What so many samples can show: precision and provable equivalence of the AUC over the number of deleted samples."""

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from mcu_core.judging.equivalence import half_width, provable_margin
from mcu_core.report.document import AuditReport
from service.report_page import drawing, numbers
from service.report_page.content import Figure, Key, Row, Table, number

LEAST = 10
"""Fewer samples give no interval: only each of them can be looked at alone."""
MOST = 10_000
"""Where the axis ends, unless this run has more."""
POWER = 0.9
"""Chance of showing equivalence, at an AUC of exactly one half, that the margin in the figure stands for."""
LOW, HIGH = 0.003, 0.5
"""Distances of the AUC from one half between which the figure is drawn."""
LEVELS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What an audit like this one can tell with other numbers of deleted samples."""

    n: int
    """Of this run."""
    m: int
    """Unseen samples, the same throughout."""
    confidence: float
    alpha: float
    margin: float | None

    def known_within(self, n: int) -> float:
        """Return half the width of the AUC's interval."""
        return half_width(n, self.m, confidence=self.confidence)

    def provable_within(self, n: int) -> float:
        """Return the smallest margin that equivalence can be shown within."""
        return provable_margin(n, self.m, alpha=self.alpha, power=POWER)


def size(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where no primary test was made or there was next to nothing to compare with."""
    judged = report.judgement
    if not report.evidence.primary or report.evidence.primary[0].other_count < LEAST:
        return None
    auc = report.evidence.primary[0]
    precision = Precision(
        n=auc.forget_count,
        m=auc.other_count,
        confidence=report.plan.confidence,
        alpha=judged.alpha,
        margin=judged.margin,
    )
    title, message = "What this many samples can show", _message(precision)
    return Figure(
        key="size",
        title=title,
        message=message,
        reading="An audit of few deleted samples can miss a trace. The lines say how fine this audit could have seen, "
        f"given {numbers.count(precision.m)} unseen samples: the solid one how exactly the AUC is known, the dashed "
        f"one how close to one half it can be proved to be in {numbers.percent(POWER, 0)} of cases. Lower is finer.",
        drawing=drawing.drawing("size", title, message, _marks(precision)),
        legend=(
            Key(style="candidate", text=f"half-width of the {numbers.percent(precision.confidence, 0)} interval"),
            Key(style="reference", text="equivalence that can be proved"),
            *([] if judged.margin is None else [Key(style="target", text="margin of this audit")]),
            Key(style="region", text="too few for an interval"),
        ),
        table=_table(precision),
        source="evidence.primary, plan.confidence, judgement.alpha and judgement.margin",
    )


def _message(precision: Precision) -> str:
    n = precision.n
    deleted = numbers.counted(n, "deleted sample")
    if n < LEAST:
        return (
            f"This run has {deleted}: too few for an interval. Only whether each of them stands out among unseen "
            "samples can be said."
        )
    needed = "" if precision.margin is None else f" This audit asks for {numbers.decimal(precision.margin)}."
    return (
        f"With {deleted} against {numbers.count(precision.m)} unseen ones the AUC is known to "
        f"±{numbers.decimal(precision.known_within(n))} and can be proved to lie within "
        f"±{numbers.decimal(precision.provable_within(n))} of one half.{needed}"
    )


def _table(precision: Precision) -> Table:
    def row(n: int) -> Row:
        name = numbers.count(n) + (" (this run)" if n == precision.n else "")
        values = (precision.known_within(n), precision.provable_within(n))
        return (number(name), *(number(numbers.decimal(value)) for value in values))

    samples = {LEAST, 30, 100, 300, 1_000, 3_000, MOST} | ({precision.n} if precision.n >= LEAST else set())
    return Table(
        key="size-data",
        caption=f"Precision of the AUC with {numbers.count(precision.m)} unseen samples",
        columns=("deleted samples", "half-width", "provable within"),
        rows=tuple(row(n) for n in sorted(samples)),
    )


def _marks(precision: Precision) -> list[Element]:
    n, most = precision.n, 10.0 ** math.ceil(math.log10(max(MOST, precision.n)))
    plot = drawing.frame((1.0, most), (LOW, HIGH), log_x=True, log_y=True)
    decades = [(x, numbers.count(round(x))) for x in drawing.decades(1.0, most)]
    samples = sorted({round(LEAST * (most / LEAST) ** (step / 40)) for step in range(41)})
    lines = (("candidate", precision.known_within), ("reference", precision.provable_within))
    left = plot.x.at(n) > (plot.x.start + plot.x.end) / 2
    return [
        drawing.area(plot, (1.0, LEAST), (LOW, HIGH), "region"),
        *drawing.y_axis(plot, [(y, f"±{y:g}") for y in LEVELS], "distance of the AUC from one half"),
        *drawing.x_axis(plot, decades, "number of deleted samples"),
        *([] if precision.margin is None else [drawing.across(plot, precision.margin, "target")]),
        *(drawing.line(plot, [(x, value(x)) for x in samples], style) for style, value in lines),
        drawing.upright(plot, n, "chosen"),
        *(drawing.dot(plot, (n, value(n)), style) for style, value in lines if n >= LEAST),
        drawing.text(
            plot.x.at(n) + (-6 if left else 6),
            plot.y.start - 8,
            f"this run: {numbers.count(n)}",
            "end" if left else "start",
            "remark",
        ),
    ]
