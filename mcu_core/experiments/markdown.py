"""Tables as Markdown, in percent: the paper's format, and below it what the paper does not measure."""

from collections.abc import Sequence

from mcu_core.experiments.tables import ORIGINAL, RETRAINED, RowSummary, Summary, reduction

DASH = "–"


def paper_table(rows: Sequence[RowSummary]) -> str:
    """Return a table as the paper prints it: mean ± deviation over seeds, gap to RT in parentheses, in percent."""
    names = list(next(row for row in rows if row.name == RETRAINED).metrics)
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
        head[3:3] = ["calibrated AUC", "seeds covering .5"]
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
    """Return by how much each pathway reduces the Avg. Gap of its θ_p, and the mean of that."""
    by_name = {row.name: row for row in rows}
    found = [(row, by_name[row.rests_on]) for row in rows if row.rests_on is not None]
    shares = [(row, base, reduction(row, base)) for row, base in found]
    lines = [
        [row.name, _number(base.average_gap, scale=100.0), _number(row.average_gap, scale=100.0), _percent(share)]
        for row, base, share in shares
    ]
    known = [share for _, _, share in shares if share is not None]
    lines.append(["mean", "", "", _percent(sum(known) / len(known) if known else None)])
    return table(["Pathway", "Avg. Gap of θ_p", "Avg. Gap", "reduction"], lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; numbers are aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines)) + "\n"


def _calibrated(row: RowSummary) -> tuple[str, str]:
    covering = _share_of_seeds(row.calibrated_covers_half, row.calibrated_intervals)
    return _number(row.calibrated_auc, digits=3), covering


def _share_of_seeds(count: int, intervals: int) -> str:
    return f"{count} of {intervals}" if intervals else DASH


def _name(row: RowSummary) -> str:
    tried = len(row.cells)
    return row.name if not row.diverged else f"{row.name} (diverged: {row.diverged} of {tried})"


def _metric(row: RowSummary, name: str) -> str:
    column = row.metrics[name]
    return f"{_number(column.value, scale=100.0)} ({100 * column.gap.mean:.2f})"


def _number(found: Summary | None, *, scale: float = 1.0, digits: int = 2) -> str:
    if found is None:
        return DASH
    mean = f"{scale * found.mean:.{digits}f}"
    return mean if found.deviation is None else f"{mean} ± {scale * found.deviation:.{digits}f}"


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.1f} %"
