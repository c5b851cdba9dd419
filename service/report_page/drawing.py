"""Marks of a chart as SVG elements, and the axes that they stand on. Colours and dashes are the style sheet's."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

T = TypeVar("T")

WIDTH, HEIGHT = 440, 300
"""Of a drawing, in its own units; a phone shows 440 of them on 300 px, a desk on 600 px."""
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 34, 50
"""Margins around the plot, wide enough for a phone's larger letters."""

Points = Sequence[tuple[float, float]]
"""Of the data, (x, y)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where a value of the data is drawn along one axis; what lies outside is drawn at the border."""

    low: float
    high: float
    start: float
    """Of `low`, in units of the drawing."""
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value."""
        inside = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The two axes of a plot."""

    x: Scale
    y: Scale

    def at(self, points: Points) -> str:
        """Return points in the notation of SVG."""
        return " ".join(f"{self.x.at(x):g},{self.y.at(y):g}" for x, y in points)


def frame(
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    log_x: bool = False,
    log_y: bool = False,
    top: float = TOP,
    bottom: float = HEIGHT - BOTTOM,
    left: float = LEFT,
) -> Frame:
    """Return the axes of a plot over the whole width of the drawing."""
    return Frame(
        x=Scale(low=x[0], high=x[1], start=left, end=WIDTH - RIGHT, logarithmic=log_x),
        y=Scale(low=y[0], high=y[1], start=bottom, end=top, logarithmic=log_y),
    )


def line(plot: Frame, points: Points, style: str) -> Element:
    """Return a line through points."""
    return Element("polyline", {"class": f"line {style}", "points": plot.at(points)})


def steps(plot: Frame, points: Points, style: str) -> Element:
    """Return a line that keeps each height until the next point."""
    return line(plot, _stairs(points), style)


def silhouette(plot: Frame, points: Points, style: str) -> Element:
    """Return the area under such a line."""
    return Element("polygon", {"class": f"silhouette {style}", "points": plot.at(_stairs(points))})


def band(plot: Frame, lower: Points, upper: Points, style: str) -> Element:
    """Return the area between two lines."""
    return Element("polygon", {"class": f"band {style}", "points": plot.at([*lower, *reversed(upper)])})


def area(plot: Frame, x: tuple[float, float], y: tuple[float, float], style: str) -> Element:
    """Return a rectangle between two values of each axis."""
    left, right = sorted(plot.x.at(value) for value in x)
    top, bottom = sorted(plot.y.at(value) for value in y)
    return Element(
        "rect",
        {
            "class": style,
            "x": f"{left:g}",
            "y": f"{top:g}",
            "width": f"{right - left:.4g}",
            "height": f"{bottom - top:.4g}",
        },
    )


def dot(plot: Frame, point: tuple[float, float], style: str, radius: float = 4.5) -> Element:
    """Return a round mark at a point."""
    x, y = plot.x.at(point[0]), plot.y.at(point[1])
    return Element("circle", {"class": f"dot {style}", "cx": f"{x:g}", "cy": f"{y:g}", "r": f"{radius:g}"})


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> Element:
    """Return words at a position of the drawing; `anchor` is the part of them that stands there."""
    element = Element("text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor})
    if style:
        element.set("class", style)
    element.text = words
    return element


def x_axis(plot: Frame, ticks: Iterable[tuple[float, str]], label: str = "") -> list[Element]:
    """Return the lower axis: its line, its labelled ticks and what it measures."""
    bottom = plot.y.start
    marks = [_segment(plot.x.start, bottom, plot.x.end, bottom, "axis")]
    for value, words in ticks:
        x = plot.x.at(value)
        marks += [_segment(x, bottom, x, bottom + 4, "axis"), text(x, bottom + 18, words, "middle", "tick")]
    if label:
        marks.append(text((plot.x.start + plot.x.end) / 2, bottom + 40, label, "middle", "name"))
    return marks


def y_axis(plot: Frame, ticks: Iterable[tuple[float, str]], label: str = "") -> list[Element]:
    """Return the left axis: a line across the plot at each labelled tick; what it measures stands above."""
    marks: list[Element] = []
    for value, words in ticks:
        y = plot.y.at(value)
        marks += [
            _segment(plot.x.start, y, plot.x.end, y, "grid"),
            text(plot.x.start - 7, y + 4, words, "end", "tick"),
        ]
    if label:
        marks.append(text(2, plot.y.end - 16, label, "start", "name"))
    return marks


def across(plot: Frame, value: float, style: str) -> Element:
    """Return a level line over the whole plot."""
    y = plot.y.at(value)
    return _segment(plot.x.start, y, plot.x.end, y, f"line {style}")


def upright(plot: Frame, value: float, style: str) -> Element:
    """Return an upright line over the whole plot."""
    x = plot.x.at(value)
    return _segment(x, plot.y.end, x, plot.y.start, f"line {style}")


def drawing(key: str, title: str, description: str, marks: Iterable[Element], height: float = HEIGHT) -> Markup:
    """Return a whole drawing, named and described for those who do not see it."""
    root = Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH} {height:g}",
            "role": "img",
            "aria-labelledby": f"{key}-title {key}-desc",
        },
    )
    SubElement(root, "title", {"id": f"{key}-title"}).text = title
    SubElement(root, "desc", {"id": f"{key}-desc"}).text = description
    root.extend(marks)
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - serialised, thus escaped, by the XML library


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return the multiples of 1, 2 or 5 times a power of ten in an interval, at most so many."""
    raw = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * magnitude) >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return the powers of ten in an interval."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**exponent for exponent in range(first, last + 1)]


def thinned(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _stairs(points: Points) -> list[tuple[float, float]]:
    corners = [corner for (x, y), (further, _) in pairwise(points) for corner in ((x, y), (further, y))]
    return [*corners, *points[-1:]]


def _segment(x1: float, y1: float, x2: float, y2: float, style: str) -> Element:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return Element("line", {"class": style} | {name: f"{value:g}" for name, value in ends.items()})
