"""Tables of where everything comes from: digests, method, settings, data, versions, hardware, times."""

from collections.abc import Iterator, Mapping, Sequence

from mcu_core.report.document import AuditReport
from mcu_core.report.evidence import Role
from service.report_page import numbers, words
from service.report_page.content import Row, Table, code
from service.report_page.content import words as cell

SUBJECTS = {
    "run_id": "run",
    "lineage": "model",
    "base_model": "old model (weights)",
    "candidate": "new model (weights)",
    "manifest": "data set (manifest)",
    "resolution": "what was to be deleted, resolved",
    "policy": "policy",
    "spec": "order of the run",
    "plan": "plan of the audit",
    "scores": "scores of every sample",
}
"""Names of the subjects of a report; the digests are SHA-256."""


def digests(report: AuditReport) -> Table:
    """Return everything that the report speaks of, by its digest."""
    plan = report.plan
    rows = [
        *((SUBJECTS.get(name, name), str(given)) for name, given in report.subjects),
        ("deleted samples (Merkle root)", report.deletion.root),
        ("key of the splits (commitment)", plan.split_commitment),
    ]
    if plan.references is not None:
        rows.append(("family of reference models", plan.references.family))
    if plan.canaries is not None:
        rows.append(("coin of the canaries (commitment)", plan.canaries.coin_commitment))
    scored = report.evidence.facts.digests
    rows += [(f"{words.ROLES[role]}, as scored", scored[role]) for role in Role if role in scored]
    return _pairs("digests", "Digests (SHA-256) and names", rows, as_code=True)


def method(report: AuditReport) -> Table:
    """Return how the candidate was made."""
    facts, pathway = report.evidence.facts, report.evidence.facts.pathway
    change = facts.weight_change
    rows = [
        ("attempt", f"{report.attempt}, rung {report.rung + 1} of {len(report.config.ladder)}"),
        ("made by", words.RUNGS.get(report.rung_kind, report.rung_kind)),
        *((words.ROLES[role], words.MODELS[facts.names[role]]) for role in Role if role in facts.names),
        ("seed of the run", str(report.seed)),
        ("seed of the audit", str(report.plan.seed)),
        ("policy version", report.policy_version),
        ("weights changed", f"{numbers.count(change.changed_elements)} of {numbers.count(change.total_elements)}"),
        ("size of the change, relative L2", numbers.significant(change.relative_l2)),
        ("BatchNorm statistics", words.BATCHNORM[facts.batchnorm]),
    ]
    if pathway is not None:
        note = "" if pathway.mask_note is None else f" ({pathway.mask_note})"
        betas = ", ".join(f"{beta}: {counted}" for beta, counted in pathway.beta_counts.items())
        rows += [
            ("t", f"{numbers.decimal(pathway.chosen_t, 4)}, chosen by policy “{pathway.policy}”"),
            ("weights free to move", f"{numbers.percent(pathway.mask_share, 2)}{note}"),
            ("in tensors", f"{pathway.mask_tensors} of {pathway.total_tensors}"),
            ("batches that used each β", betas or numbers.MISSING),
        ]
    return _pairs("method", "Method", rows)


def data(report: AuditReport) -> Table:
    """Return how many samples took which part, and what else is known of them."""
    facts, plan = report.evidence.facts, report.plan
    copies = facts.duplicates
    names = {
        "train": "training samples",
        "forget": "deleted (D_f)",
        "retain": "kept (D_r)",
        "forgotten_before": "forgotten earlier",
        "held": "held back by an order",
        "validation": "for the choice of t and β (D_v)",
        "test": "for the loss of accuracy (D_t)",
        "sealed": "sealed for the audit (C)",
        "sealed_matched": "of these used, class-matched",
    }
    rows = [(names.get(name, name), numbers.count(given)) for name, given in facts.counts]
    rows += [
        ("in more than one part", numbers.count(facts.shared_rows)),
        (
            "deleted with an exact copy among the kept",
            f"{numbers.count(copies.exact)} of {numbers.count(copies.searched)}",
        ),
        (
            "deleted with a near copy among the kept",
            f"{numbers.count(copies.near)} of {numbers.count(copies.searched)}",
        ),
        ("search for copies", copies.method),
    ]
    if plan.references is not None:
        rows.append(("folds of reference models", str(plan.references.folds)))
    if plan.canaries is not None:
        rows.append(("canaries, trained on / never", f"{plan.canaries.included} / {plan.canaries.excluded}"))
    return _pairs("data", "Data", rows)


def computing(report: AuditReport) -> Table:
    """Return what computed the numbers, and when."""
    facts = report.evidence.facts
    environment = facts.environment
    rows = [
        ("plan made", numbers.moment(report.plan.created_at)),
        ("run started", numbers.moment(facts.started_at)),
        *(
            (f"phase: {phase.replace('_', ' ')}", numbers.duration(spent))
            for phase, spent in facts.phase_seconds.items()
        ),
        *(
            (f"making of: {words.ROLES[role].lower()}", numbers.duration(spent))
            for role in Role
            if (spent := facts.seconds.get(role))
        ),
        ("device", environment.device),
        ("processor", f"{environment.processor}, {numbers.counted(environment.threads, 'thread')}"),
        ("precision", environment.precision),
        *((name, version) for name, version in environment.versions.items()),
    ]
    return _pairs("computing", "Computing and time", rows)


def settings(report: AuditReport) -> Table:
    """Return every setting in effect, other rungs of the ladder left out."""
    given = report.config.model_dump(mode="json", exclude={"ladder"})
    ladder = report.config.ladder
    rung = ladder[report.rung].model_dump(mode="json") if report.rung < len(ladder) else {}
    rows = [*flattened({"rung": rung}), *flattened(given)]
    return _pairs("settings", "Settings in effect", rows, as_code=True)


def flattened(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting with its path, such as `rung.curve.epochs`."""
    for name, given in settings.items():
        if isinstance(given, Mapping):
            yield from flattened(given, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", MISSING_SETTING if given is None else str(given)


MISSING_SETTING = "none"


def _pairs(key: str, caption: str, rows: Sequence[tuple[str, str]], *, as_code: bool = False) -> Table:
    cells: tuple[Row, ...] = tuple((cell(name), code(given) if as_code else cell(given)) for name, given in rows)
    return Table(key=key, caption=caption, columns=("what", "value"), rows=cells)
