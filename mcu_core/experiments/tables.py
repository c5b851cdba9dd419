"""Tables 1 to 3: rows of cells, summarised over seeds, as the paper prints them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from mcu_core.config import AdaptiveBetaConfig, AscentConfig, CurveConfig, FixedBetaConfig, ReferenceFamilyConfig
from mcu_core.experiments.cells import (
    AuditableCell,
    AuditedCell,
    Cell,
    CellRecord,
    Cost,
    Metrics,
    PathwayCell,
    RetrainedCell,
    UnlearnedCell,
    UntouchedCell,
    add_costs,
    unlearned_of,
)
from mcu_core.experiments.cost import epochs_by_cpu, epochs_by_images
from mcu_core.experiments.metrics import average_gap, compared
from mcu_core.experiments.paper import Study, neggrad_plus, paper_methods
from mcu_core.experiments.setup import Deletion
from mcu_core.report import AucEstimate, Part
from mcu_core.types import Phase

RETRAINED, ORIGINAL = "RT", "Original"
FIXED = CurveConfig(objective=AscentConfig(beta=FixedBetaConfig()))
ADAPTIVE = CurveConfig(objective=AscentConfig(beta=AdaptiveBetaConfig()))
Records = Mapping[Cell, CellRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table."""

    name: str
    cells: tuple[Cell, ...]
    """One a seed."""
    rests_on: str | None = None
    """The row of its θ_p, where it is a point on a pathway."""


class Summary(Part):
    """A number over seeds."""

    mean: float
    deviation: float | None
    """Sample standard deviation; `None` for a single seed."""
    values: tuple[float, ...]


class Column(Part):
    """A metric of one row."""

    value: Summary
    gap: Summary
    """Of each seed's |m - m_RT|."""


class RowSummary(Part):
    """One line of a table, over the seeds that did not diverge."""

    name: str
    rests_on: str | None
    cells: tuple[str, ...]
    """Digests, one a seed."""
    diverged: int
    """Seeds without numbers."""
    metrics: dict[str, Column]
    average_gap: Summary | None
    minutes: Summary | None
    """RTE: wall time of everything that the model took."""
    auc: Summary | None
    auc_covers_half: int
    """Seeds whose 95 % interval covers .5."""
    auc_intervals: int
    """Seeds with an interval at all: below ten samples there is no honest one."""
    membership_gap: Summary | None
    """|MIA on D_f - MIA on unseen samples|."""
    upper_tail: Summary | None
    lower_tail: Summary | None
    epochs_by_cpu: Summary | None
    epochs_by_images: Summary | None
    calibrated_auc: Summary | None = None
    """Of φ minus that of a reference that saw neither side; `None` where nobody audited."""
    calibrated_covers_half: int = 0
    """Seeds whose 95 % interval covers .5."""
    calibrated_intervals: int = 0
    """Seeds with an interval at all."""


def table_rows(study: Study, deletion: Deletion, *, per_method: bool) -> tuple[Row, ...]:
    """Return the rows of a table, the original and RT first.

    Args:
        study: settings and seeds.
        deletion: random (tables 1 and 2) or class-wise (table 3).
        per_method: a pathway from each of the six methods (table 1), else MCU and MCU_β from NegGrad+ (2 and 3).
    """
    worlds = [study.world(seed) for seed in study.seeds]
    rows = [
        Row(name=ORIGINAL, cells=tuple(UntouchedCell(world=world, deletion=deletion) for world in worlds)),
        Row(name=RETRAINED, cells=tuple(RetrainedCell(world=world, deletion=deletion) for world in worlds)),
    ]
    for method in paper_methods(study, deletion):
        cells = tuple(UnlearnedCell(world=world, deletion=deletion, method=method.config) for world in worlds)
        rows.append(Row(name=method.name, cells=cells))
        if per_method:
            pathways = tuple(study.pathway(seed, deletion, method.config, ADAPTIVE) for seed in study.seeds)
            rows.append(Row(name=f"MCU_β-{method.name}", cells=pathways, rests_on=method.name))
    if not per_method:
        for name, curve in (("MCU", FIXED), ("MCU_β", ADAPTIVE)):
            pathways = tuple(study.pathway(seed, deletion, neggrad_plus(study), curve) for seed in study.seeds)
            rows.append(Row(name=name, cells=pathways, rests_on="NegGrad+"))
    return tuple(rows)


def summarise(
    rows: Sequence[Row],
    records: Records,
    digests: Mapping[Cell, str],
    *,
    auditors: ReferenceFamilyConfig | None = None,
) -> tuple[RowSummary, ...]:
    """Return the numbers of a table.

    Args:
        rows: with the retrained model's among them.
        records: of all their cells, and of the cells of the θ_p that pathways end in.
        digests: of the cells.
        auditors: the family of the audited cells, where the records hold these.
    """
    retrained = [records[cell] for cell in next(row for row in rows if row.name == RETRAINED).cells]
    found = tuple(_summarise(row, records, retrained, digests) for row in rows)
    if auditors is None:
        return found
    return tuple(_with_audit(summed, row, records, auditors) for summed, row in zip(found, rows, strict=True))


def _with_audit(summed: RowSummary, row: Row, records: Records, auditors: ReferenceFamilyConfig) -> RowSummary:
    audits = [records[AuditedCell(of=cell, family=auditors)].calibrated for cell in row.cells if _is_auditable(cell)]
    known = [audit for audit in audits if audit is not None]
    update = {
        "calibrated_auc": summary([audit.value for audit in known]),
        "calibrated_covers_half": sum(_covers_half(audit) for audit in known),
        "calibrated_intervals": sum(audit.low is not None for audit in known),
    }
    return summed.model_copy(update=update)


def _is_auditable(cell: Cell) -> TypeGuard[AuditableCell]:
    return isinstance(cell, UntouchedCell | RetrainedCell | UnlearnedCell | PathwayCell)


def _covers_half(auc: AucEstimate) -> bool:
    return auc.low is not None and auc.high is not None and auc.low <= 0.5 <= auc.high


def reduction(row: RowSummary, base: RowSummary) -> float | None:
    """Return by which share a pathway reduces the Avg. Gap of its θ_p; `None` where a number is missing."""
    if row.average_gap is None or base.average_gap is None or base.average_gap.mean <= 0.0:
        return None
    return 1.0 - row.average_gap.mean / base.average_gap.mean


def summary(values: Sequence[float]) -> Summary | None:
    """Return mean and sample deviation; `None` of nothing."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Summary(mean=math.fsum(values) / len(values), deviation=deviation, values=tuple(values))


def whole_cost(record: CellRecord, records: Records) -> Cost:
    """Return what a model took in all: a pathway's includes its θ_p's, without the statistics only θ_p itself needs."""
    if not isinstance(record.cell, PathwayCell):
        return record.cost
    before = records[unlearned_of(record.cell)].costs[Phase.PRE_UNLEARN.value]
    return add_costs((before, record.cost))


def _summarise(row: Row, records: Records, retrained: Sequence[CellRecord], digests: Mapping[Cell, str]) -> RowSummary:
    pairs = [
        (records[cell], records[cell].metrics, truth, truth.metrics)
        for cell, truth in zip(row.cells, retrained, strict=True)
    ]
    good = [(one, metrics, truth, reference) for one, metrics, truth, reference in pairs if metrics and reference]
    costs = [(whole_cost(one, records), truth) for one, _, truth, _ in good]
    found = [metrics for _, metrics, _, _ in good]
    return RowSummary(
        name=row.name,
        rests_on=row.rests_on,
        cells=tuple(digests[cell] for cell in row.cells),
        diverged=len(pairs) - len(good),
        metrics=_columns([(metrics, reference) for _, metrics, _, reference in good]),
        average_gap=summary([average_gap(metrics, reference) for _, metrics, _, reference in good]),
        minutes=summary([cost.seconds / 60.0 for cost, _ in costs]),
        auc=summary([metrics.auc.value for metrics in found]),
        auc_covers_half=sum(_covers_half(metrics.auc) for metrics in found),
        auc_intervals=sum(metrics.auc.low is not None for metrics in found),
        membership_gap=summary([metrics.membership.gap for metrics in found]),
        upper_tail=summary([metrics.tails[0].share for metrics in found]),
        lower_tail=summary([metrics.tails[1].share for metrics in found]),
        epochs_by_cpu=summary([epochs_by_cpu(cost, truth.cost, truth.epochs or 1) for cost, truth in costs]),
        epochs_by_images=summary(
            [epochs_by_images(cost, truth.cost.trained // (truth.epochs or 1)) for cost, truth in costs]
        ),
    )


def _columns(pairs: Sequence[tuple[Metrics, Metrics]]) -> dict[str, Column]:
    if not pairs:
        return {}
    columns = {}
    for name in compared(pairs[0][0]):
        values = [compared(metrics)[name] for metrics, _ in pairs]
        gaps = [abs(compared(metrics)[name] - compared(reference)[name]) for metrics, reference in pairs]
        value, gap = summary(values), summary(gaps)
        if value is not None and gap is not None:
            columns[name] = Column(value=value, gap=gap)
    return columns
