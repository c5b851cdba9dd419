"""What the control plane checks of a worker's report before it believes it."""

from mcu_core.gate import judge
from mcu_core.report import AuditReport
from service.domain.run import UnlearningRun


def judge_report(report: AuditReport, run: UnlearningRun) -> str | None:
    """Check that a report speaks of this run and that its verdict follows from its measurements.

    1. Every subject is the one that the specification froze.
    2. The attempt, its rung and the attempts before it are the run's own: none was dropped.
    3. The gate, run again on the measurements, gives the same judgement.

    Returns:
        What is wrong; `None` when all of it holds.
    """
    spec, subjects = run.spec, report.subjects
    expected = {
        "run": (run.run_id, subjects.run_id),
        "lineage": (run.lineage, subjects.lineage),
        "specification": (spec.digest, subjects.spec),
        "base model": (spec.base_model_digest, subjects.base_model),
        "manifest": (spec.manifest_digest, subjects.manifest),
        "resolution": (spec.resolution_digest, subjects.resolution),
        "policy": (spec.policy.digest, subjects.policy),
        "candidate": (run.candidate_digest, subjects.candidate),
        "audited candidate": (run.candidate_digest, report.measurements.candidate.digest),
        "audited original": (spec.base_model_digest, report.measurements.original.digest),
        "attempt": (run.epoch, report.attempt),
        "rung": (run.rung_index, report.rung),
        "kind of rung": (spec.config.ladder[run.rung_index].kind, report.rung_kind),
        "seed": (spec.seed, report.seed),
        "size of the forget set": (spec.forget_count, report.measurements.counts.forget),
        "configuration": (spec.config, report.config),
        "earlier attempts": (run.attempts, report.previous_attempts),
    }
    wrong = [name for name, (ours, theirs) in expected.items() if ours != theirs]
    if wrong:
        return f"the report is not about this attempt: {', '.join(wrong)} differ"
    if judge(report.measurements, spec.policy, attempt=len(run.attempts)) != report.judgement:
        return "the report's verdict does not follow from its measurements"
    return None
