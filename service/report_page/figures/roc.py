"""ROC curves on logarithmic axes: what an attacker sees at few false alarms."""

import math
from collections.abc import Iterable
from xml.etree.ElementTree import Element

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Result, RocCurve, Role
from service.report_page import drawing, numbers, words
from service.report_page.content import Figure, Key, Table, number
from service.report_page.content import words as cell

STYLES = {
    Role.ORIGINAL: "original",
    Role.CANDIDATE: "candidate",
    Role.PRE_UNLEARNED: "reference",
    Role.RELEARNED: "relearned",
    Role.NONE: "unseen",
}
LEAST_FLOOR = 1e-5
"""No axis goes further down, however many samples there are."""


def roc(report: AuditReport) -> Figure | None:
    """Return the figure, or nothing where no curve was computed."""
    curves = report.evidence.figures.roc
    if not curves:
        return None
    title = "Can an attacker pick out the deleted samples?"
    message = _message(report)
    return Figure(
        key="roc",
        title=title,
        message=message,
        reading="An attacker flags samples as “was trained on”. The further a curve runs above the dotted line, the "
        "more deleted samples are caught for the same share of false alarms. On the dotted line the attacker guesses. "
        "The left end matters most: being sure of a few people is the worse harm. Shaded: uncertainty.",
        drawing=drawing.drawing("roc", title, message, _marks(curves)),
        legend=(
            *(Key(style=STYLES[curve.role], text=words.ROLES[curve.role]) for curve in curves),
            Key(style="chance", text="guessing"),
        ),
        table=Table(
            key="roc-data",
            caption="Points of the ROC curves",
            columns=("model", "false alarms", "caught", "low", "high"),
            rows=tuple(
                (cell(words.ROLES[curve.role]), *(number(numbers.percent(rate, 2)) for rate in rates))
                for curve in curves
                for rates in zip(
                    curve.false_positive_rate, curve.true_positive_rate, curve.low, curve.high, strict=True
                )
            ),
        ),
        source="evidence.figures.roc",
    )


def floor_of(curves: Iterable[RocCurve]) -> float:
    """Return the power of ten at or below every positive share of false alarms: where the axes begin."""
    rates = [rate for curve in curves for rate in curve.false_positive_rate if rate > 0.0]
    return max(LEAST_FLOOR, 10.0 ** math.floor(math.log10(min(0.1, *rates)) + 1e-9))


def _message(report: AuditReport) -> str:
    def said(result: Result) -> str:
        if result.value is None:
            return f"not estimable ({result.not_estimable})"
        return f"in {numbers.percent(result.value)} of pairs"

    before, after = report.evidence.positive_control, report.evidence.primary
    parts = [
        f"{when} {said(results[0])}" for when, results in (("before deletion", before), ("after it", after)) if results
    ]
    return (
        "Shown one deleted and one unseen sample, the attack names the deleted one "
        + ", ".join(parts)
        + "; a coin would do so in 50 %."
    )


def visible(curve: RocCurve) -> list[tuple[float, float, float, float]]:
    """Return the points (false, true, low, high) that logarithmic axes can show: those other than the origin."""
    points = zip(curve.false_positive_rate, curve.true_positive_rate, curve.low, curve.high, strict=True)
    return [point for point in points if point[0] > 0.0 or point[1] > 0.0]


def _marks(curves: tuple[RocCurve, ...]) -> list[Element]:
    floor = floor_of(curves)
    plot = drawing.frame((floor, 1.0), (floor, 1.0), log_x=True, log_y=True)
    ticks = [(rate, rate_label(rate)) for rate in drawing.decades(floor, 1.0)]
    guess = [(floor, floor), (1.0, 1.0)]
    marks = [
        *drawing.y_axis(plot, ticks, "deleted samples caught"),
        *drawing.x_axis(plot, ticks, "false alarms among unseen samples"),
        drawing.line(plot, guess, "chance"),
    ]
    for curve in curves:
        lower = [(rate, low) for rate, _, low, _ in visible(curve)]
        upper = [(rate, high) for rate, _, _, high in visible(curve)]
        marks.append(drawing.band(plot, lower, upper, STYLES[curve.role]))
    on_top = sorted(curves, key=lambda curve: curve.role is Role.CANDIDATE)
    lines = [drawing.line(plot, [point[:2] for point in visible(curve)], STYLES[curve.role]) for curve in on_top]
    return marks + lines


def rate_label(rate: float) -> str:
    """Return a power of ten in percent, such as 100 % or 0.1 %."""
    return numbers.percent(rate, max(0, -math.floor(math.log10(rate) + 1e-9) - 2))
