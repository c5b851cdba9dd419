"""Canaries that this run forgot against canaries of the same kind that nobody was trained on."""

import numpy as np

from mcu_core.report.evidence import CanaryEvidence, Group, Result, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.one_run import guess
from mcu_core.statistics.rates import rate
from mcu_core.statistics.results import Comparison, auc_result, missing_result
from mcu_core.statistics.scores import ScoreTable
from mcu_core.statistics.signals import compare


def canary_evidence(table: ScoreTable, plan: AuditPlan) -> CanaryEvidence | None:
    """Return AUC and one-run test of original and candidate; `None` unless there are canaries of both kinds."""
    included, excluded = table.rows(Group.CANARY_INCLUDED), table.rows(Group.CANARY_EXCLUDED)
    if not len(included) or not len(excluded):
        return None
    original, candidate = (
        compare(table, plan, role, forget=included, others=excluded) for role in (Role.ORIGINAL, Role.CANDIDATE)
    )
    return CanaryEvidence(
        original=auc_result(original, confidence=plan.confidence, name="canary"),
        candidate=auc_result(candidate, confidence=plan.confidence, name="canary"),
        one_run=_one_run(candidate, plan),
        one_run_original=_one_run(original, plan),
    )


def _one_run(comparison: Comparison, plan: AuditPlan) -> Result:
    scores = np.concatenate([comparison.forget, comparison.others])
    guesses = guess(scores, np.arange(len(scores)) < len(comparison.forget))
    if not guesses.guessed:
        reason = "no canary stands out by its score, or there are too few to guess any"
        return missing_result(comparison, name="canary.one_run", reason=reason)
    share = rate(guesses.correct, guesses.guessed, confidence=plan.confidence)
    return Result(
        name="canary.one_run",
        role=comparison.role,
        signal=comparison.signal,
        value=share.value,
        low=share.low,
        high=share.high,
        level=plan.confidence,
        p_value=guesses.p_value(),
        hypothesis="the model never used the coins: guesses are right with probability 0.5",
        forget_count=len(comparison.forget),
        other_count=len(comparison.others),
        method=f"{guesses.correct} of {guesses.guessed} guesses right; binomial, epsilon = 0",
    )
