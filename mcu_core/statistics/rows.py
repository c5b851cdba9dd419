"""Which rows of a score table the audit compares with which."""

from dataclasses import dataclass

import numpy as np

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.draws import draw, match_classes
from mcu_core.statistics.scores import Integers, ScoreTable

NEEDED_GROUPS = (Group.FORGET, Group.RETAIN, Group.TEST, Group.CALIBRATION, Group.EVALUATION)
NEEDED_ROLES = (Role.ORIGINAL, Role.CANDIDATE, Role.RELEARNED)
NOBODY: Integers = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Positions in the table, int64 each."""

    forget: Integers
    retain: Integers
    test: Integers
    calibration: Integers
    evaluation: Integers
    """All of C_eval."""
    matched: Integers
    """Of C_eval, in the class proportions of D_f: what D_f is compared with."""
    svc_members: Integers
    """Of D_r, what the SVC is fitted on."""
    svc_nonmembers: Integers
    """Of D_t, as many."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """A group and the class-matched part of C_eval that it is compared with."""

    forget: Integers
    others: Integers


def rows_of(table: ScoreTable, plan: AuditPlan) -> Rows:
    """Choose the rows of the primary comparison and of the SVC.

    Raises:
        DataError: a group or a model is missing, a score is not finite, or C_eval lacks a class of D_f.
    """
    table.require_finite()
    lacking = [group.value for group in NEEDED_GROUPS if not len(table.rows(group))]
    lacking += [role.value for role in NEEDED_ROLES if role not in table.models]
    if lacking:
        raise DataError(f"the scores lack {', '.join(lacking)}")
    forget, evaluation = table.rows(Group.FORGET), table.rows(Group.EVALUATION)
    retain, test = table.rows(Group.RETAIN), table.rows(Group.TEST)
    each = min(plan.svc_samples, len(retain), len(test))
    return Rows(
        forget=forget,
        retain=retain,
        test=test,
        calibration=table.rows(Group.CALIBRATION),
        evaluation=evaluation,
        matched=match_classes(table.label, evaluation, table.label[forget], seed=plan.seed, purpose="match.forget"),
        svc_members=draw(retain, each, seed=plan.seed, purpose="svc.members"),
        svc_nonmembers=draw(test, each, seed=plan.seed, purpose="svc.nonmembers"),
    )


def pair_with_unseen(table: ScoreTable, plan: AuditPlan, rows: Integers, *, purpose: str) -> Pair | None:
    """Return those rows whose class C_eval has, and samples of C_eval in their class proportions; `None` without any.

    For what is reported beside the primary tests: a class without unseen samples is left out there, not an error.
    """
    evaluation = table.rows(Group.EVALUATION)
    kept = rows[np.isin(table.label[rows], table.label[evaluation])]
    if not len(kept):
        return None
    matched = match_classes(table.label, evaluation, table.label[kept], seed=plan.seed, purpose=purpose)
    return Pair(forget=kept, others=matched)


def pseudo_forget(table: ScoreTable, plan: AuditPlan, rows: Rows) -> Pair | None:
    """Draw from C_cal what stands in D_f's place in the negative control: no model ever saw it.

    As many samples as D_f has and in its class proportions, or as many as C_cal allows in these proportions; classes
    that C_cal lacks are left out.

    Returns:
        The drawn rows with their class-matched part of C_eval; `None` where C_cal has no class of D_f.
    """
    wanted = table.label[rows.forget]
    wanted = wanted[np.isin(wanted, table.label[rows.calibration])]
    if not len(wanted):
        return None
    drawn = match_classes(
        table.label, rows.calibration, wanted, seed=plan.seed, purpose="pseudo.forget", most=len(rows.forget)
    )
    return pair_with_unseen(table, plan, drawn, purpose="match.pseudo")
