"""From scores and plan to everything that the report says in numbers. Deterministic; reads nothing else."""

from functools import partial

from threadpoolctl import threadpool_limits

from mcu_core.report.evidence import Evidence, Figures, Group, Individuals, Result, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.canaries import canary_evidence
from mcu_core.statistics.conformal import ConformalP, conformal_p_values, smallest_adjusted
from mcu_core.statistics.controls import blind_baseline, calibration, negative_control
from mcu_core.statistics.figures import ascending, histograms_of, roc_of
from mcu_core.statistics.harm import class_changes, utility_losses
from mcu_core.statistics.low_fpr import LEAST_SAMPLES
from mcu_core.statistics.models import model_row
from mcu_core.statistics.probes import forgotten_before, relearned, retained_exposure, version_pair
from mcu_core.statistics.results import auc_result, primary_results, tail_result, tpr_result
from mcu_core.statistics.rows import Rows, rows_of
from mcu_core.statistics.scores import Integers, ScoreTable
from mcu_core.statistics.signals import available, compare, primary_values
from mcu_core.statistics.tails import SIDES

TAIL_LEVELS = (0.01, 0.05)
"""Of the tails that are reported for every signal, whatever level the primary tests have."""


def evidence_of(table: ScoreTable, plan: AuditPlan) -> Evidence:
    """Compute every number of the report.

    BLAS runs on one thread meanwhile, since its sums depend on how many there are.

    Args:
        table: the scores.
        plan: what was fixed beforehand.

    Returns:
        The evidence, equal to the last bit in another process and with another number of threads.

    Raises:
        DataError: the table lacks a group, a model, the plan's primary signal, or unseen samples of a class of D_f.
    """
    with threadpool_limits(limits=1):
        return _evidence_of(table, plan)


def _evidence_of(table: ScoreTable, plan: AuditPlan) -> Evidence:
    rows = rows_of(table, plan)
    roles = reported_roles(table)
    against_unseen = partial(compare, table, plan, forget=rows.forget, others=rows.matched)
    primary = partial(primary_results, level=plan.tail_level, confidence=plan.confidence)
    return Evidence(
        facts=table.facts,
        models=tuple(model_row(table, plan, rows, role) for role in roles),
        primary=primary(against_unseen(Role.CANDIDATE)),
        positive_control=primary(against_unseen(Role.ORIGINAL)),
        negative_control=negative_control(table, plan, rows),
        blind_baseline=blind_baseline(table, plan, rows),
        calibration=calibration(table, plan, rows),
        canaries=canary_evidence(table, plan),
        individuals=_individuals(_conformal(table, plan, rows, rows.forget)),
        utility=utility_losses(table, plan),
        classes=class_changes(table, plan),
        secondary=tuple(result for role in roles for result in _secondary(table, plan, rows, role)),
        relearned=relearned(table, plan, rows),
        retained_exposure=retained_exposure(table, plan, rows),
        version_pair=version_pair(table, plan, rows),
        forgotten_before=forgotten_before(table, plan),
        figures=_figures(table, plan, rows),
    )


def reported_roles(table: ScoreTable) -> tuple[Role, ...]:
    """Return the models that have a row in the report, the original first and the candidate last."""
    return tuple(role for role in (Role.ORIGINAL, Role.PRE_UNLEARNED, Role.CANDIDATE) if role in table.models)


def _conformal(table: ScoreTable, plan: AuditPlan, rows: Rows, asked: Integers) -> ConformalP:
    values = primary_values(table, plan, Role.CANDIDATE)
    return conformal_p_values(
        values[asked], table.label[asked], values[rows.calibration], table.label[rows.calibration]
    )


def _individuals(p_values: ConformalP) -> Individuals:
    return Individuals(
        p_high=tuple(p_values.high.tolist()),
        p_low=tuple(p_values.low.tolist()),
        p_two=tuple(p_values.two.tolist()),
        smallest=smallest_adjusted(p_values.two),
        pooled=p_values.pooled,
    )


def _secondary(table: ScoreTable, plan: AuditPlan, rows: Rows, role: Role) -> list[Result]:
    """Return AUC, tails and low-FPR rates of every signal on one model."""
    results = []
    for signal in available(table):
        comparison = compare(table, plan, role, forget=rows.forget, others=rows.matched, signal=signal)
        results.append(auc_result(comparison, confidence=plan.confidence))
        results += [
            tail_result(comparison, side=side, level=level, confidence=plan.confidence, name=f"tail.{side}.{level:g}")
            for level in TAIL_LEVELS
            for side in SIDES
        ]
        results += [tpr_result(comparison, fpr=fpr, confidence=plan.confidence) for fpr in LEAST_SAMPLES]
    return results


def _figures(table: ScoreTable, plan: AuditPlan, rows: Rows) -> Figures:
    roles = reported_roles(table)
    groups = {Group.FORGET: rows.forget, Group.EVALUATION: rows.matched, Group.RETAIN: rows.retain}
    values = {role: primary_values(table, plan, role) for role in roles}
    return Figures(
        roc=tuple(
            roc_of(compare(table, plan, role, forget=rows.forget, others=rows.matched), confidence=plan.confidence)
            for role in roles
        ),
        histograms=histograms_of(
            {(role, group): values[role][positions] for role in roles for group, positions in groups.items()}
        ),
        p_values=ascending(_conformal(table, plan, rows, rows.evaluation).high),
    )
