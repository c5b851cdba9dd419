"""Tables as Markdown, in percent: the paper's format, and below it what the paper does not measure."""

from collections import Counter
from collections.abc import Sequence

from mcu_core.experiments.tables import ORIGINAL, RETRAINED, RowSummary, Summary, paired_gaps, reduction

DASH = "–"
NAMES = ("UA", "RA", "TA", "MIA")
"""Columns of a table of which everything diverged."""


def paper_table(rows: Sequence[RowSummary]) -> str:
    """Return a table as the paper prints it: mean ± deviation over seeds, gap to RT in parentheses, in percent."""
    names = next((list(row.metrics) for row in rows if row.metrics), NAMES)
    head = ["Methods", *names, "Avg. Gap", "RTE (min)"]
    lines = []
    for row in rows:
        if row.name == ORIGINAL:
            continue
        cells = [_metric(row, name) for name in names] if row.metrics else ["diverged", *[DASH] * (len(names) - 1)]
        gap = DASH if row.average_gap is None else f"{100 * row.average_gap.mean:.2f}"
        lines.append([_name(row), *cells, gap, _number(row.minutes)])
    return table(head, lines)


def audit_table(rows: Sequence[RowSummary]) -> str:
    """Return what an auditor asks besides, and the whole cost in epochs of retraining."""
    head = [
        "Methods", "AUC of φ", "seeds covering .5", "MIA − MIA on unseen", "upper 1 % tail", "lower 1 % tail",
        "epochs (CPU)", "epochs (images)",
    ]  # fmt: skip
    audited = any(row.calibrated_auc is not None for row in rows)
    if audited:
        head[3:3] = ["calibrated AUC", "seeds covering .5", "calibrated upper tail", "calibrated lower tail"]
    lines = [
        [
            _name(row),
            _number(row.auc, digits=3),
            _share_of_seeds(row.auc_covers_half, row.auc_intervals),
            *(_calibrated(row) if audited else ()),
            _number(row.membership_gap, scale=100.0),
            _number(row.upper_tail, scale=100.0),
            _number(row.lower_tail, scale=100.0),
            DASH if row.name == ORIGINAL else _number(row.epochs_by_cpu, digits=1),
            DASH if row.name == ORIGINAL else _number(row.epochs_by_images, digits=1),
        ]
        for row in rows
    ]
    return table(head, lines)


def reduction_table(rows: Sequence[RowSummary]) -> str:
    """Return by how much each pathway reduces the Avg. Gap of its θ_p, the mean of that, and what the choice of t read.

    Gaps are over the seeds in which neither diverged.
    """
    by_name = {row.name: row for row in rows}
    found = [(row, by_name[row.rests_on]) for row in rows if row.rests_on is not None]
    lines = []
    for row, base in found:
        after, before = paired_gaps(row, base) or (None, None)
        gaps = [_number(before, scale=100.0), _number(after, scale=100.0)]
        lines.append([row.name, *gaps, _percent(reduction(row, base)), _mean_and_most(row.points_for_choice)])
    known = [share for share in (reduction(row, base) for row, base in found) if share is not None]
    lines.append(["mean", "", "", _percent(sum(known) / len(known) if known else None), ""])
    return table(["Pathway", "Avg. Gap of θ_p", "Avg. Gap", "reduction", "points for t (most)"], lines)


def mask_line(masks: Sequence[tuple[float, str | None]]) -> str:
    """Return what masks were in effect, and why where they are not those that were asked for.

    Args:
        masks: of each pathway the share of elements that may move, and the mask's note.
    """
    parts = [f"{note} ({count} of {len(masks)} pathways)" for note, count in Counter(n for _, n in masks if n).items()]
    asked = [100 * share for share, note in masks if not note]
    if asked:
        extent = f"{min(asked):.1f}" if min(asked) == max(asked) else f"{min(asked):.1f} to {max(asked):.1f}"
        parts.append(f"{extent} % of the elements, as asked for ({len(asked)} of {len(masks)} pathways)")
    return f"Mask: {'; '.join(parts)}."


def pathway_notes(rows: Sequence[RowSummary]) -> str:
    """Return what must be known of the pathways of a table: their masks, and what the choice of t costs."""
    masks = [mask for row in rows if row.mask_share for mask in zip(row.mask_share.values, row.mask_notes, strict=True)]
    choice = (
        "Points for t: on the pathway that the choice evaluated, θ_p among them, mean over seeds; each step of the "
        "window to the left costs more of them."
    )
    return f"{mask_line(masks)} {choice}" if masks else choice


def divergences(rows: Sequence[RowSummary]) -> str | None:
    """Return which models diverged, and why in short; `None` where none did."""
    found = [
        f"{row.name} in {row.diverged} of {len(row.cells)} seeds ({', '.join(_short(row.reasons))})"
        for row in rows
        if row.diverged
    ]
    if not found:
        return None
    without = any(row.diverged for row in rows if row.name == RETRAINED)
    return f"Diverged: {'; '.join(found)}.{' Where RT did, no model of its seed has a gap.' if without else ''}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; numbers are aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines)) + "\n"


def _short(reasons: Sequence[str]) -> list[str]:
    """Return reasons without the advice that follows a colon, each once."""
    return list(dict.fromkeys(reason.partition(":")[0] for reason in reasons))


def _calibrated(row: RowSummary) -> tuple[str, ...]:
    covering = _share_of_seeds(row.calibrated_covers_half, row.calibrated_intervals)
    tails = (_number(tail, scale=100.0) for tail in (row.calibrated_upper_tail, row.calibrated_lower_tail))
    return _number(row.calibrated_auc, digits=3), covering, *tails


def _mean_and_most(count: Summary | None) -> str:
    return DASH if count is None else f"{count.mean:.1f} ({max(count.values):.0f})"


def _share_of_seeds(count: int, intervals: int) -> str:
    return f"{count} of {intervals}" if intervals else DASH


def _name(row: RowSummary) -> str:
    tried = len(row.cells)
    return row.name if not row.diverged else f"{row.name} (diverged: {row.diverged} of {tried})"


def _metric(row: RowSummary, name: str) -> str:
    column = row.metrics[name]
    gap = DASH if column.gap is None else f"{100 * column.gap.mean:.2f}"
    return f"{_number(column.value, scale=100.0)} ({gap})"


def _number(found: Summary | None, *, scale: float = 1.0, digits: int = 2) -> str:
    if found is None:
        return DASH
    mean = f"{scale * found.mean:.{digits}f}"
    return mean if found.deviation is None else f"{mean} ± {scale * found.deviation:.{digits}f}"


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.1f} %"
