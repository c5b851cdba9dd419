"""What a worker reports of an attempt, and what the control plane checks of it before it believes it."""

from mcu_core.judging.decide import decide
from mcu_core.report import AuditReport, Deletion, Evidence, Role, Subjects
from service.domain.run import UnlearningRun, WorkOrder


def report_of(order: WorkOrder, evidence: Evidence, *, candidate_digest: str, scores_digest: str) -> AuditReport:
    """Put an attempt's report together: what the order names, what was found, and what the gate says of it."""
    spec, plan = order.spec, order.plan
    return AuditReport(
        subjects=Subjects(
            run_id=order.run_id,
            lineage=spec.lineage,
            base_model=spec.base_model_digest,
            candidate=candidate_digest,
            manifest=spec.manifest_digest,
            resolution=spec.resolution_digest,
            policy=spec.policy.digest,
            spec=spec.digest,
            plan=plan.digest,
            scores=scores_digest,
        ),
        deletion=Deletion(tickets=order.tickets, samples=spec.forget_count, root=plan.forget_root),
        attempt=order.epoch,
        rung=order.rung_index,
        rung_kind=order.rung.kind,
        seed=spec.seed,
        config=spec.config,
        policy_version=spec.policy.version,
        plan=plan,
        evidence=evidence,
        judgement=decide(evidence, plan, spec.policy),
        previous_attempts=order.previous_attempts,
    )


def judge_report(report: AuditReport, run: UnlearningRun) -> str | None:
    """Check that a report speaks of this run and that its verdict follows from its evidence.

    1. Every subject is the one that the specification froze, and the plan is the one in the ledger.
    2. The attempt, its rung and the attempts before it are the run's own: none was dropped.
    3. The gate, run again on the evidence, gives the same judgement.

    Returns:
        What is wrong; `None` when all of it holds.
    """
    spec, subjects, plan, facts = run.spec, report.subjects, report.plan, report.evidence.facts
    expected = {
        "run": (run.run_id, subjects.run_id),
        "lineage": (run.lineage, subjects.lineage),
        "specification": (spec.digest, subjects.spec),
        "base model": (spec.base_model_digest, subjects.base_model),
        "manifest": (spec.manifest_digest, subjects.manifest),
        "resolution": (spec.resolution_digest, subjects.resolution),
        "policy": (spec.policy.digest, subjects.policy),
        "policy version": (spec.policy.version, report.policy_version),
        "scores": (run.scores_digest, subjects.scores),
        "plan": (run.plan_digest, subjects.plan),
        "planned audit": (run.plan_digest, plan.digest),
        "plan of the scores": (run.plan_digest, facts.plan),
        "candidate": (run.candidate_digest, subjects.candidate),
        "audited candidate": (run.candidate_digest, facts.digests.get(Role.CANDIDATE)),
        "audited original": (spec.base_model_digest, facts.digests.get(Role.ORIGINAL)),
        "attempt": (run.epoch, report.attempt),
        "rung": (run.rung_index, report.rung),
        "kind of rung": (spec.config.ladder[run.rung_index].kind, report.rung_kind),
        "seed": (spec.seed, report.seed),
        "size of the forget set": (spec.forget_count, facts.counts.forget),
        "deletion": ((len(run.ticket_ids), spec.forget_count, plan.forget_root), _deletion(report)),
        "configuration": (spec.config, report.config),
        "earlier attempts": (run.attempts, report.previous_attempts),
        "audits before": (len(run.attempts), plan.audits_before),
    }
    wrong = [name for name, (ours, theirs) in expected.items() if ours != theirs]
    if wrong:
        return f"the report is not about this attempt: {', '.join(wrong)} differ"
    if decide(report.evidence, plan, spec.policy) != report.judgement:
        return "the report's verdict does not follow from its evidence"
    return None


def _deletion(report: AuditReport) -> tuple[int, int, str]:
    return report.deletion.tickets, report.deletion.samples, report.deletion.root
