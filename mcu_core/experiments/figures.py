"""Drawing the figures from their numbers. Nothing here measures."""

import io
from collections.abc import Sequence
from typing import assert_never

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from mcu_core.experiments.cells import SweepPoint
from mcu_core.experiments.panels import Figure, FigureNumbers, PanelNumbers

PANEL_WIDTH, PANEL_HEIGHT = 3.4, 2.9
"""Inches."""
MOST_COLUMNS = 5
COLOURS = {"forget": "#d95f02", "retain": "#1f5fa8", "test": "#2e8b57", "class_test": "#7b3294"}
NAMES = {"forget": "$D_f$", "retain": "$D_r$", "test": "$D_t$", "class_test": "$D_{tf}$"}
FORMATS = ("svg", "png")


def draw_figure(numbers: FigureNumbers) -> dict[str, bytes]:
    """Return a figure as SVG and PNG; the same numbers give the same SVG.

    Args:
        numbers: everything that is shown.
    """
    match numbers.figure:
        case Figure.MASK:
            canvas = _draw_masks(numbers)
        case Figure.SHARE_POINTS:
            canvas = _draw_shares(numbers)
        case Figure.REGION | Figure.BETA | Figure.KEEP | Figure.EXCLUDE | Figure.ENDS | Figure.SHARE_PATHWAYS:
            canvas = _draw_pathways(numbers)
        case _:
            assert_never(numbers.figure)
    canvas.suptitle(numbers.title, fontsize=10, wrap=True)
    images = {}
    # Text stays text, and neither the day nor chance gets into the file.
    with mpl.rc_context({"svg.hashsalt": numbers.figure.value, "svg.fonttype": "none"}):
        for suffix in FORMATS:
            file = io.BytesIO()
            canvas.savefig(file, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
            images[suffix] = file.getvalue()
    return images


def _canvas(panels: int) -> tuple[Canvas, list[Axes]]:
    columns = min(panels, MOST_COLUMNS)
    rows = -(-panels // columns)
    canvas = Canvas(figsize=(PANEL_WIDTH * columns, PANEL_HEIGHT * rows + 0.7), layout="constrained")
    axes = canvas.subplots(rows, columns, squeeze=False).flatten().tolist()
    for unused in axes[panels:]:
        unused.set_axis_off()
    return canvas, axes[:panels]


def _draw_pathways(numbers: FigureNumbers) -> Canvas:
    canvas, axes = _canvas(len(numbers.panels))
    for axis, panel in zip(axes, numbers.panels, strict=True):
        _draw_pathway(axis, panel)
    axes[0].set_ylabel("accuracy (%)")
    _add_legend(axes)
    return canvas


def _add_legend(axes: Sequence[Axes]) -> None:
    """Put one legend where most lines are; none where nothing was drawn."""
    richest = max(axes, key=lambda axis: len(axis.get_legend_handles_labels()[0]))
    if richest.get_legend_handles_labels()[0]:
        richest.legend(fontsize=7)


def _draw_pathway(axis: Axes, panel: PanelNumbers) -> None:
    axis.set_title(_title(panel), fontsize=9, color="#b01515" if panel.is_default else "black")
    axis.set_xlabel("$t$")
    if panel.sweep is None:
        axis.text(0.5, 0.5, "diverged", ha="center", transform=axis.transAxes)
        return
    for part in panel.sweep.region:
        axis.axvspan(part.start, part.end, color="0.88", zorder=0)
    _draw_accuracies(axis, panel, style="-")
    for name, colour in COLOURS.items():
        truth = _values([panel.sweep.retrained], name)
        if truth:
            axis.axhline(truth[0], color=colour, linestyle=":", linewidth=1)
    if panel.best_t is not None and panel.best_gap is not None:
        best = min(panel.sweep.points, key=lambda point: abs(point.t - panel.best_t) if panel.best_t else 0.0)
        axis.plot([best.t], _values([best], "forget"), marker="*", markersize=11, color="#b01515", zorder=5)
        axis.annotate(
            f"{100 * panel.best_gap:.2f}",
            (best.t, 100 * best.forget),
            textcoords="offset points",
            xytext=(-4, -13),
            ha="right",
            fontsize=8,
            color="#b01515",
        )
    axis.set_xlim(0.0, 1.0)


def _draw_accuracies(axis: Axes, panel: PanelNumbers, *, style: str, label: str = "") -> None:
    if panel.sweep is None:
        return
    positions = [point.t for point in panel.sweep.points]
    for name, colour in COLOURS.items():
        values = _values(panel.sweep.points, name)
        if values:
            axis.plot(positions, values, style, color=colour, linewidth=1.4, label=f"{NAMES[name]}{label}")


def _draw_masks(numbers: FigureNumbers) -> Canvas:
    canvas, (left, right) = _canvas(2)
    names = [_title(panel) for panel in numbers.panels]
    left.bar(names, [panel.cpu_seconds_an_epoch or 0.0 for panel in numbers.panels], color="#1f5fa8")
    left.set_ylabel("CPU seconds an epoch")
    left.tick_params(axis="x", labelrotation=30, labelsize=7)
    left.set_title("training the curve", fontsize=9)
    small = min(panel.x for panel in numbers.panels if panel.x is not None)
    for panel in numbers.panels:
        if panel.x == small:
            is_random = panel is numbers.panels[-1]
            _draw_accuracies(right, panel, style="--" if is_random else "-", label=", random" if is_random else "")
    right.set_title(f"the mask and a random one, k = {small:g}", fontsize=9)
    right.set_xlabel("$t$")
    right.set_ylabel("accuracy (%)")
    _add_legend([right])
    return canvas


def _draw_shares(numbers: FigureNumbers) -> Canvas:
    canvas, (axis,) = _canvas(1)
    canvas.set_figwidth(1.6 * PANEL_WIDTH)
    shown = [(panel, panel.sweep, panel.chosen_t) for panel in numbers.panels if panel.sweep and panel.chosen_t]
    # Of each pathway the point of the sweep that is nearest to the chosen t.
    points = [min(sweep.points, key=lambda point: abs(point.t - chosen)) for _, sweep, chosen in shown]
    for name, colour in COLOURS.items():
        values = _values(points, name)
        if values:
            shares = [100 * (panel.x or 0.0) for panel, _, _ in shown]
            axis.plot(shares, values, "o-", color=colour, markersize=3, label=NAMES[name])
        if values and shown:
            axis.axhline(_values([shown[0][1].retrained], name)[0], color=colour, linestyle=":", linewidth=1)
    axis.set_xlabel("share of $D_r$ (%)")
    axis.set_ylabel("accuracy (%)")
    _add_legend([axis])
    return canvas


def _title(panel: PanelNumbers) -> str:
    return panel.title if panel.mask_share is None else f"{panel.title}\nmask: {100 * panel.mask_share:.0f} %"


def _values(points: Sequence[SweepPoint], name: str) -> list[float]:
    """Return accuracies in percent; nothing where the points have none of that name."""
    found = [getattr(point, name) for point in points]
    return [100.0 * value for value in found if value is not None]
