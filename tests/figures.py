"""Rows, pathway and figure data of a report, plausible and without a meaning of their own."""

import math
from itertools import pairwise
from statistics import NormalDist

from mcu_core.report.evidence import Facts, Figures, Group, Histogram, ModelRow, RocCurve, Role
from mcu_core.report.parts import Estimate, Interval, MembershipAttack, PathPoint, PathwayReport
from tests.results import RETAINED

NORMAL = NormalDist()
PATHWAY = PathwayReport(
    sweep=tuple(
        PathPoint(
            t=t / 8,
            forget_accuracy=1 - t / 60,
            retain_accuracy=1 - t / 400,
            validation_accuracy=0.9 - t / 800,
            gap=abs(t / 8 - 0.8) / 8,
            auc=0.75 - t / 32,
            distance=abs(t / 8 - 0.8) / 4,
        )
        for t in range(9)
    ),
    evaluated=(
        PathPoint(t=0.75, forget_accuracy=0.91, retain_accuracy=0.985, validation_accuracy=0.894, gap=0.008),
        PathPoint(t=0.8125, forget_accuracy=0.90, retain_accuracy=0.984, validation_accuracy=0.893, gap=0.004),
    ),
    region=(Interval(start=0.6, end=0.9),),
    chosen_t=0.8125,
    policy="balanced",
    mask_share=0.4375,
    mask_tensors=7,
    total_tensors=20,
    beta_counts={"0.1": 12, "0.5": 3},
)


def model_rows(facts: Facts, n: int) -> tuple[ModelRow, ...]:
    accuracies = {
        Role.ORIGINAL: (0.01, 0.99, 0.9),
        Role.PRE_UNLEARNED: (0.25, 0.95, 0.86),
        Role.CANDIDATE: (0.1, 0.984, 0.897),
    }
    return tuple(
        _model_row(facts, role, n, unlearning=unlearning, retain=retain, test=test)
        for role, (unlearning, retain, test) in accuracies.items()
        if role in facts.digests
    )


def _model_row(facts: Facts, role: Role, n: int, *, unlearning: float, retain: float, test: float) -> ModelRow:
    return ModelRow(
        role=role,
        name=facts.names[role],
        digest=facts.digests[role],
        t={Role.ORIGINAL: 0.0, Role.PRE_UNLEARNED: 1.0}.get(role, facts.chosen_t),
        unlearning_accuracy=_rate(unlearning, n),
        retain_accuracy=_rate(retain, RETAINED),
        test_accuracy=_rate(test, 6_000),
        class_test_accuracy=None,
        membership=MembershipAttack(
            nonmember_share=unlearning + 0.02, sealed_nonmember_share=0.13, gap=abs(unlearning - 0.11),
            training_count=2_000,
        ),
        forget_gap=abs(0.1 - unlearning),
        retain_gap=abs(0.99 - retain),
        seconds=facts.seconds.get(role, 0.0),
    )  # fmt: skip


def _rate(value: float, count: int) -> Estimate:
    half = 1.96 * math.sqrt(value * (1 - value) / count)
    return Estimate(
        value=value, low=max(0.0, value - half), high=min(1.0, value + half), count=count, method="clopper-pearson"
    )


def some_figures(n: int, m: int) -> Figures:
    """Normal scores: D_f of the original lies higher than C_eval, that of the candidate does not."""
    shifts = {Role.ORIGINAL: 1.0, Role.PRE_UNLEARNED: -0.2, Role.CANDIDATE: 0.02}
    return Figures(
        roc=tuple(_roc(role, shift, n) for role, shift in shifts.items()),
        histograms=tuple(
            _histogram(role, group, shift if group is Group.FORGET else 0.0, count)
            for role, shift in shifts.items()
            for group, count in ((Group.FORGET, n), (Group.EVALUATION, m))
        ),
        p_values=tuple((position + 0.5) / 500 for position in range(500)),
    )


def _roc(role: Role, shift: float, n: int) -> RocCurve:
    false_positive = (0.0, *(10 ** (-3 + step / 8) for step in range(25)))
    true_positive = tuple(
        1.0 if rate >= 1.0 else NORMAL.cdf(NORMAL.inv_cdf(rate) + shift) if rate else 0.0 for rate in false_positive
    )
    halves = [1.96 * math.sqrt(max(rate * (1 - rate), 1 / n) / n) for rate in true_positive]
    return RocCurve(
        role=role,
        false_positive_rate=false_positive,
        true_positive_rate=true_positive,
        low=tuple(max(0.0, rate - half) for rate, half in zip(true_positive, halves, strict=True)),
        high=tuple(min(1.0, rate + half) for rate, half in zip(true_positive, halves, strict=True)),
    )


def _histogram(role: Role, group: Group, shift: float, count: int) -> Histogram:
    edges = tuple(-4.0 + step * 0.4 for step in range(23))
    beyond = [round(count * NORMAL.cdf(edge - shift)) for edge in edges]
    return Histogram(
        role=role,
        group=group,
        edges=edges,
        counts=tuple(right - left for left, right in pairwise(beyond)),
    )
