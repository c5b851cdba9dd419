"""The connectivity study as a figure."""

import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcu_core.connection.report import Connection, ConnectionPoint, PathKind

Curve = Callable[[ConnectionPoint], float]

PANELS: Sequence[tuple[str, Mapping[str, Curve]]] = (
    ("UA, %", {"": lambda point: 100.0 * point.unlearning_accuracy}),
    ("RA, %", {"": lambda point: 100.0 * point.retain_accuracy}),
    ("TA, %", {"": lambda point: 100.0 * point.test_accuracy}),
    ("MIA, %", {"": lambda point: 100.0 * point.membership}),
    ("CE(D_f), nats", {"": lambda point: point.forget_loss}),
    ("CE(D_r), nats", {"": lambda point: point.retain_loss}),
    (
        "TA under changed inputs, %",
        {
            "mirrored": lambda point: 100.0 * point.mirrored.accuracy,
            "restyled": lambda point: 100.0 * point.restyled.accuracy,
        },
    ),
    (
        "equal answers on D_f, %",
        {
            "first end": lambda point: 100.0 * point.first.forget_agreement,
            "second end": lambda point: 100.0 * point.second.forget_agreement,
        },
    ),
)
"""Title and curves of each panel."""
COLOURS = {PathKind.LINEAR: "#999999", PathKind.QUADRATIC: "#0072b2"}
"""Told apart by lightness as well."""
STYLES = ("-", "--")
COLUMNS = 4


def draw_connection(connection: Connection) -> bytes:
    """Return quantities along both paths, drawn as SVG; the same result gives the same bytes.

    Args:
        connection: the study's result.

    Returns:
        The content of a file.
    """
    drawn = io.BytesIO()
    rows = -(-len(PANELS) // COLUMNS)
    with mpl.rc_context({"svg.hashsalt": "connection", "font.size": 8, "axes.titlesize": 9}):
        figure = Figure(figsize=(3.0 * COLUMNS, 2.4 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS)
        for axes, (title, curves) in zip(panels.flat, PANELS, strict=True):
            _draw(axes, title, curves, connection)
        panels.flat[0].legend(fontsize=7)
        figure.suptitle(f"t = 0: {connection.first.name}; t = 1: {connection.second.name}", fontsize=10)
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _draw(axes: Axes, title: str, curves: Mapping[str, Curve], connection: Connection) -> None:
    for path in connection.paths:
        for style, (label, read) in zip(STYLES, curves.items(), strict=False):
            axes.plot(
                [point.t for point in path.points],
                [read(point) for point in path.points],
                color=COLOURS[path.kind],
                linestyle=style,
                label=f"{path.kind.value}, {label}" if label else path.kind.value,
            )
    axes.set_title(title)
    axes.set_xlabel("t")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.5)
    if len(curves) > 1:
        axes.legend(fontsize=6)
