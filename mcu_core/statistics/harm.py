"""What the deletion cost everybody else: accuracy, overall and by class."""

import numpy as np

from mcu_core.report import UtilityLoss
from mcu_core.report.evidence import ClassChange, Group, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.paired_difference import paired_difference
from mcu_core.statistics.scores import ScoreTable
from mcu_core.statistics.utility import utility_loss


def utility_losses(table: ScoreTable, plan: AuditPlan) -> dict[Group, UtilityLoss]:
    """Return the loss of accuracy from original to candidate on D_t and on the sample of D_r, with its upper bound."""
    original, candidate = (table.models[role].prediction == table.label for role in (Role.ORIGINAL, Role.CANDIDATE))
    return {
        group: utility_loss(
            original[table.rows(group)],
            candidate[table.rows(group)],
            level=plan.confidence,
            subjects=table.subject[table.rows(group)],
        )
        for group in (Group.TEST, Group.RETAIN)
    }


def class_changes(table: ScoreTable, plan: AuditPlan) -> tuple[ClassChange, ...]:
    """Return the change of accuracy of each class of D_t, on the same images, ascending by class."""
    original, candidate = (table.models[role].prediction == table.label for role in (Role.ORIGINAL, Role.CANDIDATE))
    test = table.rows(Group.TEST)
    changes = []
    for label in np.unique(table.label[test]):
        rows = test[table.label[test] == label]
        change = paired_difference(original[rows], candidate[rows], confidence=plan.confidence)
        changes.append(
            ClassChange(label=int(label), change=change.value, low=change.low, high=change.high, count=len(rows))
        )
    return tuple(changes)
