"""Does the instrument work at all? Negative control, blind baseline and calibration."""

import numpy as np

from mcu_core.report.evidence import Result, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.auc import area
from mcu_core.statistics.blind import blind_features, blind_scores
from mcu_core.statistics.draws import one_each
from mcu_core.statistics.exchangeable import exchangeability
from mcu_core.statistics.permutation_test import permutation_p_value
from mcu_core.statistics.results import missing_result, primary_results
from mcu_core.statistics.rows import NOBODY, Rows, pseudo_forget
from mcu_core.statistics.scores import ScoreTable
from mcu_core.statistics.signals import compare, primary_values


def negative_control(table: ScoreTable, plan: AuditPlan, rows: Rows) -> tuple[Result, ...]:
    """Return the three primary tests of the candidate with unseen samples in D_f's place: they must find nothing."""
    pair = pseudo_forget(table, plan, rows)
    if pair is None:
        nothing = compare(table, plan, Role.CANDIDATE, forget=NOBODY, others=rows.matched)
        reason = "C_cal and C_eval share no class of D_f"
        names = ("auc", "tail.upper", "tail.lower")
        return tuple(missing_result(nothing, name=name, reason=reason) for name in names)
    comparison = compare(table, plan, Role.CANDIDATE, forget=pair.forget, others=pair.others)
    return primary_results(comparison, level=plan.tail_level, confidence=plan.confidence)


def blind_baseline(table: ScoreTable, plan: AuditPlan, rows: Rows) -> Result:
    """Return whether labels and image statistics alone tell D_f from C_eval: then it is another kind of sample.

    The AUC is that of a cross-validated classifier. It has no interval, and its p-value is not Mann and Whitney's:
    predictions of one fold depend on the samples of the others, so that such a test rejects twice as often as it
    should. The p-value is that of a permutation within classes, of one drawn sample a subject.
    """
    used = np.concatenate([rows.forget, rows.matched])
    is_forget = np.arange(len(used)) < len(rows.forget)
    labels, subjects = table.label[used], table.subject[used]
    scores = blind_scores(blind_features(labels, table.blind[used]), is_forget, subjects, seed=plan.seed)
    each = one_each(subjects, seed=plan.seed, purpose="blind.subjects")
    features = blind_features(labels[each], table.blind[used][each])
    reason = "needs two subjects in D_f and in C_eval, to fit on one what is asked of the other"
    return Result(
        name="blind",
        role=Role.NONE,
        value=None if scores is None else area(scores[is_forget], scores[~is_forget]),
        p_value=permutation_p_value(features, labels[each], is_forget[each], seed=plan.seed),
        hypothesis="image statistics are exchangeable within classes",
        forget_count=len(rows.forget),
        other_count=len(rows.matched),
        method="logistic regression, out of fold; p: permutation within classes, score statistic",
        not_estimable=reason if scores is None else None,
    )


def calibration(table: ScoreTable, plan: AuditPlan, rows: Rows) -> Result:
    """Return whether all of C_eval and C_cal score alike on the candidate: nobody saw either."""
    values = primary_values(table, plan, Role.CANDIDATE)
    first, second = (
        group[one_each(table.subject[group], seed=plan.seed, purpose=purpose)]
        for group, purpose in ((rows.evaluation, "calibration.evaluation"), (rows.calibration, "calibration.c_cal"))
    )
    test = exchangeability(values[first], table.label[first], values[second], table.label[second])
    if test is None:
        nothing = compare(table, plan, Role.CANDIDATE, forget=NOBODY, others=NOBODY)
        return missing_result(nothing, name="calibration", reason="C_cal and C_eval share no class")
    return Result(
        name="calibration",
        role=Role.CANDIDATE,
        signal=plan.primary_signal,
        value=test.statistic,
        p_value=test.p_value,
        hypothesis="C_eval and C_cal score alike within each class",
        forget_count=test.first_count,
        other_count=test.second_count,
        method="kolmogorov-smirnov of ranks within classes",
    )
