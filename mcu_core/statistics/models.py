"""The paper's metrics of one model."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcu_core.report import Estimate
from mcu_core.report.evidence import ModelRow, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.rates import rate
from mcu_core.statistics.rows import Rows
from mcu_core.statistics.scores import Integers, ScoreTable
from mcu_core.statistics.svc import svc_attack

CHANCE_TO_MISS = 1e-3
"""Largest chance at which a class is taken to be gone from D_r, none of whose samples is in the sample of D_r."""


def model_row(table: ScoreTable, plan: AuditPlan, rows: Rows, role: Role) -> ModelRow:
    """Return UA, RA, TA, SalUn's MIA and the distances to the alignment references of one model.

    UA = 1 - acc(D_f), RA = acc(D_r sample), TA = acc(D_t); gaps |FA - A_v| and |RA - A_train| with FA = 1 - UA.

    Args:
        table: the scores.
        plan: confidence of the intervals.
        rows: of `rows_of`.
        role: original, pre-unlearned or candidate.
    """
    facts, scores = table.facts, table.models[role]
    right = scores.prediction == table.label
    share = partial(_share, confidence=plan.confidence)
    unlearning, retain = share(~right[rows.forget]), share(right[rows.retain])
    gone = rows.test[np.isin(table.label[rows.test], _classes_gone(table, rows))]
    return ModelRow(
        role=role,
        name=facts.names[role],
        digest=facts.digests[role],
        t={Role.PRE_UNLEARNED: 1.0, Role.CANDIDATE: facts.chosen_t}.get(role),
        unlearning_accuracy=unlearning,
        retain_accuracy=retain,
        test_accuracy=share(right[rows.test]),
        class_test_accuracy=share(~right[gone]) if len(gone) else None,
        membership=svc_attack(
            members=scores.confidence[rows.svc_members],
            nonmembers=scores.confidence[rows.svc_nonmembers],
            forget=scores.confidence[rows.forget],
            sealed=scores.confidence[rows.matched],
        ),
        forget_gap=abs(1.0 - unlearning.value - facts.references.validation_accuracy),
        retain_gap=abs(retain.value - facts.references.train_accuracy),
        seconds=facts.seconds[role],
    )


def _share(flags: NDArray[np.bool_], *, confidence: float) -> Estimate:
    return rate(int(flags.sum()), len(flags), confidence=confidence)


def _classes_gone(table: ScoreTable, rows: Rows) -> Integers:
    """Return D_f's classes where the deletion is of whole classes: none of them is left in D_r, and not by chance."""
    classes = np.unique(table.label[rows.forget])
    shares = np.array([(table.label[rows.test] == label).mean() for label in classes])
    by_chance = (1.0 - shares) ** len(rows.retain)
    if np.isin(classes, table.label[rows.retain]).any() or (by_chance > CHANCE_TO_MISS).any():
        return np.empty(0, dtype=np.int64)
    return classes
