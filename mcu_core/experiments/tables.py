"""Tables 1 to 3: rows of cells, summarised over seeds, as the paper prints them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from mcu_core.config import (
    AdaptiveBetaConfig,
    AscentConfig,
    CurveConfig,
    FixedBetaConfig,
    MethodConfig,
    ReferenceFamilyConfig,
)
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
from mcu_core.experiments.metrics import average_gap, compared, tail_is_estimable
from mcu_core.experiments.paper import Study, neggrad_plus, paper_methods
from mcu_core.experiments.setup import Deletion, World
from mcu_core.report import AucEstimate, Part, TailTest
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
    gap: Summary | None
    """Of each seed's |m - m_RT|, of the seeds whose RT did not diverge; `None` where there is no such seed."""


class RowSummary(Part):
    """One line of a table, over the seeds in which its model did not diverge."""

    name: str
    rests_on: str | None
    cells: tuple[str, ...]
    """Digests, one a seed."""
    diverged: int
    """Seeds without numbers."""
    reasons: tuple[str, ...]
    """Why they have none, each reason once."""
    metrics: dict[str, Column]
    average_gap: Summary | None
    gaps: tuple[float | None, ...]
    """Avg. Gap, one a seed; `None` where this model or RT diverged."""
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
    """`None` where a seed has too few samples for it, and so below."""
    lower_tail: Summary | None
    epochs_by_cpu: Summary | None
    epochs_by_images: Summary | None
    calibrated_auc: Summary | None = None
    """Of φ minus that of a reference that saw neither side; `None` where nobody audited."""
    calibrated_covers_half: int = 0
    """Seeds whose 95 % interval covers .5."""
    calibrated_intervals: int = 0
    """Seeds with an interval at all."""
    calibrated_upper_tail: Summary | None = None
    calibrated_lower_tail: Summary | None = None
    mask_share: Summary | None = None
    """Of all elements, that the curve of a pathway could move in effect."""
    mask_notes: tuple[str | None, ...] = ()
    """Why it is another mask than the one asked for, one for each of these shares."""
    points_for_choice: Summary | None = None
    """Points of the pathway that the choice of t evaluated, t = 1 among them."""


def truth_rows(worlds: Sequence[World], deletion: Deletion) -> list[Row]:
    """Return the rows that a table begins with: the original, and RT."""
    return [
        Row(name=ORIGINAL, cells=tuple(UntouchedCell(world=world, deletion=deletion) for world in worlds)),
        Row(name=RETRAINED, cells=tuple(RetrainedCell(world=world, deletion=deletion) for world in worlds)),
    ]


def unlearned_row(
    name: str,
    worlds: Sequence[World],
    deletion: Deletion,
    method: MethodConfig,
    teachers: tuple[ReferenceFamilyConfig, ...] = (),
) -> Row:
    """Return the row of a method."""
    cells = (UnlearnedCell(world=world, deletion=deletion, method=method, teachers=teachers) for world in worlds)
    return Row(name=name, cells=tuple(cells))


def table_rows(study: Study, deletion: Deletion, *, per_method: bool) -> tuple[Row, ...]:
    """Return the rows of a table, the original and RT first.

    Args:
        study: settings and seeds.
        deletion: random (tables 1 and 2) or class-wise (table 3).
        per_method: a pathway from each of the six methods (table 1), else MCU and MCU_β from NegGrad+ (2 and 3).
    """
    worlds = [study.world(seed) for seed in study.seeds]
    rows = truth_rows(worlds, deletion)
    for method in paper_methods(study, deletion):
        rows.append(unlearned_row(method.name, worlds, deletion, method.config))
        if per_method:
            pathways = tuple(study.pathway(seed, deletion, method.config, ADAPTIVE) for seed in study.seeds)
            rows.append(Row(name=f"MCU_β-{method.name}", cells=pathways, rests_on=method.name))
    if not per_method:
        for name, curve in (("MCU", FIXED), ("MCU_β", ADAPTIVE)):
            end = neggrad_plus(study, deletion)
            pathways = tuple(study.pathway(seed, deletion, end, curve) for seed in study.seeds)
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
    found = [records[AuditedCell(of=cell, family=auditors)] for cell in row.cells if _is_auditable(cell)]
    known = [record.calibrated for record in found if record.calibrated is not None]
    tails = [(record.calibrated_tails, record.calibrated) for record in found if record.calibrated is not None]
    update = {
        "calibrated_auc": summary([audit.value for audit in known]),
        "calibrated_covers_half": sum(_covers_half(audit) for audit in known),
        "calibrated_intervals": sum(audit.low is not None for audit in known),
        "calibrated_upper_tail": _tail(tails, "upper"),
        "calibrated_lower_tail": _tail(tails, "lower"),
    }
    return summed.model_copy(update=update)


def _is_auditable(cell: Cell) -> TypeGuard[AuditableCell]:
    return isinstance(cell, UntouchedCell | RetrainedCell | UnlearnedCell | PathwayCell)


def _covers_half(auc: AucEstimate) -> bool:
    return auc.low is not None and auc.high is not None and auc.low <= 0.5 <= auc.high


def paired_gaps(row: RowSummary, base: RowSummary) -> tuple[Summary, Summary] | None:
    """Return the Avg. Gap of a pathway and of its θ_p over the seeds that have both; `None` where no seed has."""
    pairs = [
        (own, other) for own, other in zip(row.gaps, base.gaps, strict=True) if own is not None and other is not None
    ]
    after, before = summary([own for own, _ in pairs]), summary([other for _, other in pairs])
    return None if after is None or before is None else (after, before)


def reduction(row: RowSummary, base: RowSummary) -> float | None:
    """Return by which share a pathway reduces the Avg. Gap of its θ_p, over the seeds that have both."""
    pair = paired_gaps(row, base)
    if pair is None or pair[1].mean <= 0.0:
        return None
    return 1.0 - pair[0].mean / pair[1].mean


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
    own = [records[cell] for cell in row.cells]
    good = [(one, one.metrics, truth) for one, truth in zip(own, retrained, strict=True) if one.metrics is not None]
    found = [metrics for _, metrics, _ in good]
    costs = [(whole_cost(one, records), truth) for one, _, truth in good]
    in_epochs = [(cost, truth.cost, truth.epochs or 1) for cost, truth in costs if truth.metrics is not None]
    gaps = tuple(
        None if one.metrics is None or truth.metrics is None else average_gap(one.metrics, truth.metrics)
        for one, truth in zip(own, retrained, strict=True)
    )
    chosen = [one.chosen for one in own if one.chosen is not None]
    return RowSummary(
        name=row.name,
        rests_on=row.rests_on,
        cells=tuple(digests[cell] for cell in row.cells),
        diverged=len(own) - len(good),
        reasons=tuple(dict.fromkeys(one.diverged for one in own if one.diverged is not None)),
        metrics=_columns([(metrics, truth.metrics) for _, metrics, truth in good]),
        average_gap=summary([gap for gap in gaps if gap is not None]),
        gaps=gaps,
        minutes=summary([cost.seconds / 60.0 for cost, _ in costs]),
        auc=summary([metrics.auc.value for metrics in found]),
        auc_covers_half=sum(_covers_half(metrics.auc) for metrics in found),
        auc_intervals=sum(metrics.auc.low is not None for metrics in found),
        membership_gap=summary([metrics.membership.gap for metrics in found]),
        upper_tail=_tail([(metrics.tails, metrics.auc) for metrics in found], "upper"),
        lower_tail=_tail([(metrics.tails, metrics.auc) for metrics in found], "lower"),
        epochs_by_cpu=summary([epochs_by_cpu(cost, spent, epochs) for cost, spent, epochs in in_epochs]),
        epochs_by_images=summary(
            [epochs_by_images(cost, spent.trained // epochs) for cost, spent, epochs in in_epochs]
        ),
        mask_share=summary([one.mask_share for one in chosen]),
        mask_notes=tuple(one.mask_note for one in chosen),
        points_for_choice=summary([float(len(one.evaluated)) for one in chosen]),
    )


def _tail(audits: Sequence[tuple[Sequence[TailTest], AucEstimate]], side: Literal["upper", "lower"]) -> Summary | None:
    """Return the share of D_f in a tail; `None` where that of any seed is not estimable, never a bare 0."""
    tails = [([tail for tail in tails if tail.side == side], of) for tails, of in audits]
    if not all(found and tail_is_estimable(found[0], of) for found, of in tails):
        return None
    return summary([found[0].share for found, _ in tails])


def _columns(pairs: Sequence[tuple[Metrics, Metrics | None]]) -> dict[str, Column]:
    columns = {}
    for name in compared(pairs[0][0]) if pairs else ():
        value = summary([compared(metrics)[name] for metrics, _ in pairs])
        gap = summary([abs(compared(metrics)[name] - compared(truth)[name]) for metrics, truth in pairs if truth])
        if value is not None:
            columns[name] = Column(value=value, gap=gap)
    return columns
