"""Audits of fewer samples than were scored, or of fewer signals: STATS reads nothing but a table and a plan."""

from dataclasses import fields, replace

import numpy as np

from mcu_core.report.evidence import Group
from mcu_core.report.plan import AuditPlan, Signal
from mcu_core.statistics.draws import draw
from mcu_core.statistics.scores import Integers, ModelScores, ReferenceScores, ScoreTable


def reduced(
    table: ScoreTable, plan: AuditPlan, *, forget_count: int, number: int, calibrated: bool
) -> tuple[ScoreTable, AuditPlan]:
    """Return the audit of a random part of D_f, with references or without.

    What is left of D_f is neither forgotten nor kept, and looked at by nobody. The model, however, forgot all of it: a
    request of so few samples would have moved it less. Copies in D_r and the points of the relearning probe that the
    table states are still those of all of D_f; no check rests on them.

    Args:
        table: scores of all of D_f.
        plan: of its audit.
        forget_count: how many of D_f are audited.
        number: of the draw.
        calibrated: whether the references take part; the table must have them.
    """
    forget = table.rows(Group.FORGET)
    kept = draw(forget, forget_count, seed=plan.seed, purpose=f"benchmark part {forget_count} {number}")
    rows = np.sort(np.concatenate([kept, np.flatnonzero(table.group != Group.FORGET.value)]))
    smaller = plan.model_copy(
        update={
            "forget_count": len(kept),
            "primary_signal": Signal.CALIBRATED if calibrated else Signal.PHI,
            "references": plan.references if calibrated else None,
        }
    )
    facts, counts = table.facts, table.facts.counts
    counts = counts.model_copy(update={"forget": len(kept), "held": counts.held + len(forget) - len(kept)})
    return replace(
        table,
        facts=facts.model_copy(update={"plan": smaller.digest, "counts": counts}),
        group=table.group[rows],
        label=table.label[rows],
        subject=table.subject[rows],
        blind=table.blind[rows],
        models={role: _scores_at(scores, rows) for role, scores in table.models.items()},
        references=_references_at(table.references, rows) if calibrated and table.references is not None else None,
    ), smaller


def _scores_at(scores: ModelScores, rows: Integers) -> ModelScores:
    return replace(scores, **{field.name: getattr(scores, field.name)[rows] for field in fields(scores)})


def _references_at(scores: ReferenceScores, rows: Integers) -> ReferenceScores:
    return replace(scores, **{field.name: getattr(scores, field.name)[rows] for field in fields(scores)})
