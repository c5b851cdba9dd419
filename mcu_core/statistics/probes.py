"""What is asked beside "is D_f forgotten": relearning, retained people, both versions at once, earlier deletions."""

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Result, Role
from mcu_core.report.plan import AuditPlan, Signal
from mcu_core.statistics.results import auc_result
from mcu_core.statistics.rows import Rows, pair_with_unseen
from mcu_core.statistics.scores import ScoreTable
from mcu_core.statistics.signals import compare, compare_values


def relearned(table: ScoreTable, plan: AuditPlan, rows: Rows) -> Result:
    """Return the AUC of D_f on the relearned candidate, one-sided above .5."""
    comparison = compare(table, plan, Role.RELEARNED, forget=rows.forget, others=rows.matched)
    return auc_result(comparison, confidence=plan.confidence, name="relearned", alternative="greater")


def retained_exposure(table: ScoreTable, plan: AuditPlan, rows: Rows) -> tuple[Result, Result]:
    """Return the AUC of D_r by φ on original and candidate: retained people must not pay for others' deletion.

    Raises:
        DataError: C_eval has no class of D_r.
    """
    pair = pair_with_unseen(table, plan, rows.retain, purpose="match.retain")
    if pair is None:
        raise DataError("the unseen samples have no class of the retained ones")
    original, candidate = (
        auc_result(
            compare(table, plan, role, forget=pair.forget, others=pair.others, signal=Signal.PHI),
            confidence=plan.confidence,
            name="retained_exposure",
        )
        for role in (Role.ORIGINAL, Role.CANDIDATE)
    )
    return original, candidate


def version_pair(table: ScoreTable, plan: AuditPlan, rows: Rows) -> Result:
    """Return the AUC of φ_original - φ_candidate: what somebody sees who holds both versions.

    Never a gate: a perfect retrain, which changes most exactly where it forgot, scores worst.
    """
    change = table.models[Role.ORIGINAL].phi - table.models[Role.CANDIDATE].phi
    comparison = compare_values(
        table, plan, change, forget=rows.forget, others=rows.matched, role=Role.CANDIDATE, signal=Signal.PHI
    )
    return auc_result(comparison, confidence=plan.confidence, name="version_pair")


def forgotten_before(table: ScoreTable, plan: AuditPlan) -> Result | None:
    """Return the AUC of what earlier releases forgot on the candidate, one-sided above .5; `None` without any."""
    earlier = table.rows(Group.FORGOTTEN_BEFORE)
    pair = pair_with_unseen(table, plan, earlier, purpose="match.before") if len(earlier) else None
    if pair is None:
        return None
    comparison = compare(table, plan, Role.CANDIDATE, forget=pair.forget, others=pair.others)
    return auc_result(comparison, confidence=plan.confidence, name="forgotten_before", alternative="greater")
