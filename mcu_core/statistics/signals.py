"""The signals of one model over a score table, and groups of its rows compared on one."""

from typing import assert_never

from mcu_core.errors import DataError
from mcu_core.report.evidence import Group, Role
from mcu_core.report.plan import AuditPlan, Signal
from mcu_core.statistics.difficulty import calibrated
from mcu_core.statistics.results import Comparison
from mcu_core.statistics.rmia import rmia
from mcu_core.statistics.scores import Floats, Integers, ScoreTable


def available(table: ScoreTable) -> tuple[Signal, ...]:
    """Return the signals that the table has; two need references."""
    needing = {Signal.CALIBRATED, Signal.RMIA}
    return tuple(signal for signal in Signal if table.references is not None or signal not in needing)


def signal_values(table: ScoreTable, role: Role, signal: Signal, *, rmia_offset: float) -> Floats:
    """Return a signal of every sample, higher for more like a member.

    Args:
        table: the scores.
        role: whose.
        signal: which.
        rmia_offset: a of RMIA; its population z is C_cal.

    Returns:
        float64 `[N]`.

    Raises:
        DataError: the signal needs references that the table lacks.
    """
    scores, references = table.models[role], table.references
    match signal:
        case Signal.PHI | Signal.CONFIDENCE | Signal.LOSS | Signal.ENTROPY | Signal.MODIFIED_ENTROPY:
            values: Floats = getattr(scores, signal.value)
            return values
        case Signal.CALIBRATED | Signal.RMIA if references is None:
            raise DataError(f"the signal {signal.value} needs reference models, of which the scores have none")
        case Signal.CALIBRATED:
            return calibrated(scores.phi, references.phi)
        case Signal.RMIA:
            rows = table.rows(Group.CALIBRATION)
            population, reference_population = scores.confidence[rows], references.confidence[rows]
            return rmia(scores.confidence, references.confidence, population, reference_population, offset=rmia_offset)
        case _:
            assert_never(signal)


def primary_values(table: ScoreTable, plan: AuditPlan, role: Role) -> Floats:
    """Return the plan's primary signal of every sample, `[N]`."""
    return signal_values(table, role, plan.primary_signal, rmia_offset=plan.rmia_offset)


def compare(
    table: ScoreTable,
    plan: AuditPlan,
    role: Role,
    *,
    forget: Integers,
    others: Integers,
    signal: Signal | None = None,
) -> Comparison:
    """Return two groups of rows on a signal of a model; on the primary signal by default."""
    signal = signal or plan.primary_signal
    values = signal_values(table, role, signal, rmia_offset=plan.rmia_offset)
    return compare_values(table, plan, values, forget=forget, others=others, role=role, signal=signal)


def compare_values(
    table: ScoreTable,
    plan: AuditPlan,
    values: Floats,
    *,
    forget: Integers,
    others: Integers,
    role: Role,
    signal: Signal | None,
) -> Comparison:
    """Return two groups of rows on any numbers `[N]`."""
    return Comparison(
        role=role,
        signal=signal,
        forget=values[forget],
        others=values[others],
        forget_subjects=table.subject[forget],
        other_subjects=table.subject[others],
        seed=plan.seed,
    )
