"""What the demo shows at its end: the audit's numbers in a table, and what they mean."""

from rich import box
from rich.table import Table

from mcu_core.report import AuditReport, ModelMeasurements, ModelName, Verdict
from service.cli.output import console
from service.report_html import MODEL_LABELS


def measurements_table(reports: list[AuditReport]) -> Table:
    """Return one row a model: the original, what unlearning started from, each candidate with its verdict."""
    title = "What the audit measured (accuracies, SVC-MIA and gaps in %)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in ("D_f", "D_r", "D_t", "AUC φ", "MIA (gap)", "gap", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    for row, verdict in _rows(reports):
        position = "" if row.t in {None, 1.0} else f" t={row.t:.2f}"
        table.add_row(
            MODEL_LABELS[row.name].removesuffix(" model") + position,
            f"{100 * (1 - row.unlearning_accuracy.value):.1f}",
            f"{100 * row.retain_accuracy.value:.1f}",
            f"{100 * row.test_accuracy.value:.1f}",
            f"{row.auc.value:.3f}",
            f"{100 * row.membership.nonmember_share:.1f} ({100 * row.membership.gap:.1f})",
            f"{100 * row.gaps.mean:.1f}",
            f"{row.seconds:.0f}" if row.seconds else "",
            verdict,
        )
    return table


def _rows(reports: list[AuditReport]) -> list[tuple[ModelMeasurements, str]]:
    """Return the original, what unlearning started from, and each candidate with its verdict."""
    first = reports[0].measurements
    rows = [(model, "") for model in first.models[:-1]]
    return rows + [(report.measurements.candidate, report.judgement.verdict.value) for report in reports]


def explain(reports: list[AuditReport]) -> None:
    """Say whether there was anything to see, which rungs were refused and why, and which passed."""
    original = reports[0].measurements.original.auc
    if reports[0].judgement.verdict is Verdict.VACUOUS:
        console.print(
            f"[yellow]Nothing could be shown[/]: even on the original model the audit cannot tell the images to be "
            f"forgotten from unseen ones (AUC {original.value:.3f})."
        )
        return
    console.print(
        f"The original knew them: AUC {original.value:.3f} between the images to be forgotten and unseen ones "
        f"(p = {original.p_value:.1g}; .5 would be no trace)."
    )
    last = reports[-1]
    rung = f"rung {last.rung + 1} of {len(last.config.ladder)} ({last.rung_kind})"
    name = MODEL_LABELS[last.measurements.candidate.name]
    for report in reports:
        for reason in report.judgement.reasons:
            console.print(f"  rung {report.rung + 1} ({report.rung_kind}) was refused: {reason.text}", highlight=False)
    if last.judgement.verdict is Verdict.ACCEPT:
        console.print(f"[green]{name} passed[/] on {rung}.")
    if any(row.name is ModelName.RETRAINED for row, _ in _rows(reports)):
        console.print("The ladder needed exact retraining.")
