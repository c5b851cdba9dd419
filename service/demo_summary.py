"""What the demo shows at its end: the audit's numbers in a table, and what they mean."""

from rich import box
from rich.table import Table

from mcu_core.report import AuditReport, ModelName, ModelRow, Result, Role, Verdict
from service.cli.output import console
from service.report_page.words import MODELS


def measurements_table(reports: list[AuditReport]) -> Table:
    """Return one row a model: the original, what unlearning started from, each candidate with its verdict."""
    title = "What the audit measured (accuracies, SVC-MIA and gaps in %)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in ("D_f", "D_r", "D_t", "AUC φ", "MIA (gap)", "gap", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    for report, row, verdict in _rows(reports):
        position = "" if row.t in {None, 1.0} else f" t={row.t:.2f}"
        table.add_row(
            MODELS[row.name].removesuffix(" model") + position,
            f"{100 * (1 - row.unlearning_accuracy.value):.1f}",
            f"{100 * row.retain_accuracy.value:.1f}",
            f"{100 * row.test_accuracy.value:.1f}",
            _auc(_primary(report, row.role)),
            f"{100 * row.membership.nonmember_share:.1f} ({100 * row.membership.gap:.1f})",
            f"{50 * (row.forget_gap + row.retain_gap):.1f}",
            f"{row.seconds:.0f}" if row.seconds else "",
            verdict,
        )
    return table


def explain(reports: list[AuditReport]) -> None:
    """Say whether there was anything to see, which rungs were refused and why, and what the accepted audit claims."""
    original = _primary(reports[0], Role.ORIGINAL)
    if reports[0].judgement.verdict is Verdict.VACUOUS:
        console.print(
            f"[yellow]Nothing could be shown[/]: even on the original model the audit cannot tell the images to be "
            f"forgotten from unseen ones (AUC {_auc(original)})."
        )
        return
    console.print(
        f"The original knew them: AUC {_auc(original)} between the images to be forgotten and unseen ones "
        "(.5 would be no trace)."
    )
    for report in reports:
        if report.judgement.verdict.accepts:
            continue
        for reason in report.judgement.reasons:
            console.print(f"  rung {report.rung + 1} ({report.rung_kind}) was refused: {reason.text}", highlight=False)
    last = reports[-1]
    names = {row.name for _, row, _ in _rows(reports)}
    if last.judgement.verdict.accepts:
        rung = f"rung {last.rung + 1} of {len(last.config.ladder)} ({last.rung_kind})"
        claim = last.judgement.claim.value.lower().replace("_", " ")
        name = MODELS[last.evidence.models[-1].name]
        console.print(f"[green]{name} passed[/] on {rung}; the audit claims: {claim}.")
    if ModelName.RETRAINED in names:
        console.print("The ladder needed exact retraining.")


def _rows(reports: list[AuditReport]) -> list[tuple[AuditReport, ModelRow, str]]:
    """Return the original, what unlearning started from, and each candidate with its verdict."""
    rows = [(reports[0], row, "") for row in reports[0].evidence.models[:-1]]
    return rows + [(report, report.evidence.models[-1], _short(report.judgement.verdict)) for report in reports]


def _short(verdict: Verdict) -> str:
    return "ACCEPT" if verdict.accepts else verdict.value


def _primary(report: AuditReport, role: Role) -> Result | None:
    """Return the AUC of the primary signal of a model."""
    evidence = report.evidence
    found = (*evidence.primary, *evidence.positive_control, *evidence.secondary)
    return next(
        (
            result
            for result in found
            if result.name == "auc" and result.role is role and result.signal is report.plan.primary_signal
        ),
        None,
    )


def _auc(result: Result | None) -> str:
    return "" if result is None or result.value is None else f"{result.value:.3f}"
