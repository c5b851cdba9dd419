"""Tiny experiments on which every cell takes a fraction of a second."""

from collections.abc import Mapping
from typing import assert_never

import torch

from mcu_core.config import CurveConfig, NegGradPlusConfig, Precision, SelectionConfig, TrainConfig
from mcu_core.experiments.cells import (
    AuditedCell,
    Cell,
    CellRecord,
    Chosen,
    Cost,
    Metrics,
    OriginalCell,
    PathwayCell,
    ReferenceCell,
    RetrainedCell,
    Sweep,
    SweepCell,
    SweepPoint,
    UnlearnedCell,
    UntouchedCell,
)
from mcu_core.experiments.paper import Study
from mcu_core.experiments.setup import Samples, World
from mcu_core.images import ImageData
from mcu_core.report import AucEstimate, Environment, Interval, MembershipAttack, PathPoint, TailTest
from tests.cases import HELD_OUT, TINY, TRAIN, tiny_data

OFFICIAL_TRAIN = 160
ENVIRONMENT = Environment(versions={"torch": "2"}, device="cpu", processor="abacus", threads=1, precision="float32")


def tiny_samples() -> Samples:
    """Return the tiny images but C_cal, which a study has not, with official splits."""
    whole, count = tiny_data(), TRAIN + HELD_OUT
    data = ImageData(images=whole.images[:count], labels=whole.labels[:count])
    return Samples(data=data, train=torch.arange(OFFICIAL_TRAIN), heldout=torch.arange(OFFICIAL_TRAIN, count))


def tiny_study(seeds: tuple[int, ...] = (0,)) -> Study:
    """Return settings under which a table takes seconds."""
    return Study(
        data="tiny",
        data_digest=tiny_samples().digest,
        architecture=TINY,
        train_images=100,
        seeds=seeds,
        epochs=2,
        precision=Precision.FLOAT32,
        method_epochs=1,
        curve_epochs=1,
    )


def tiny_world(seed: int = 0) -> World:
    """Return the world of one seed."""
    return tiny_study().world(seed)


def tiny_pathway(seed: int = 0) -> PathwayCell:
    """Return a pathway whose choice reads few images."""
    study = tiny_study()
    return PathwayCell(
        world=study.world(seed),
        deletion=study.random,
        method=NegGradPlusConfig(train=TrainConfig(epochs=1, learning_rate=0.01)),
        curve=CurveConfig(train=TrainConfig(epochs=1, learning_rate=0.01, weight_decay=0.0)),
        selection=SelectionConfig(batchnorm_images=40, retain_images=40),
    )


def tiny_sweep(seed: int = 0) -> SweepCell:
    """Return a short sweep of the tiny pathway."""
    return SweepCell(pathway=tiny_pathway(seed), points=5, images=20)


def metrics_of(
    *,
    unlearning: float,
    retain: float,
    test: float,
    attack: float,
    class_unlearning: float | None = None,
    forget: int = 100,
    nonmembers: int = 2000,
) -> Metrics:
    """Return chosen rates with an audit that finds nothing."""
    auc = AucEstimate(
        value=0.5, low=0.45, high=0.55, p_value=0.9, forget_count=forget, nonmember_count=nonmembers, method="none"
    )
    upper, lower = (
        TailTest(
            side=side, level=0.01, threshold=0.0, forget_count=forget, beyond=1, share=0.01, p_value=0.5
        )
        for side in ("upper", "lower")
    )  # fmt: skip
    return Metrics(
        unlearning=unlearning,
        class_unlearning=class_unlearning,
        retain=retain,
        test=test,
        membership=MembershipAttack(nonmember_share=attack, sealed_nonmember_share=attack, gap=0.0, training_count=10),
        auc=auc,
        tails=(upper, lower),
    )


def record_of(cell: Cell) -> CellRecord:
    """Return a record of plausible numbers that nothing was run for."""
    truth = metrics_of(unlearning=0.10, retain=0.99, test=0.90, attack=0.20)
    costs = {"retrain": Cost(seconds=600.0, cpu_seconds=1000.0, trained=9_000, evaluated=0)}
    match cell:
        case OriginalCell():
            return CellRecord(cell=cell, environment=ENVIRONMENT, train_accuracy=1.0, epochs=10)
        case UntouchedCell():
            return CellRecord(
                cell=cell,
                environment=ENVIRONMENT,
                metrics=metrics_of(unlearning=0.0, retain=1.0, test=0.91, attack=0.02),
            )
        case RetrainedCell():
            return CellRecord(cell=cell, environment=ENVIRONMENT, metrics=truth, costs=costs, epochs=10)
        case UnlearnedCell():
            spent = {
                "pre_unlearn": Cost(seconds=60.0, cpu_seconds=50.0, trained=450),
                "select": Cost(seconds=6.0, cpu_seconds=5.0, evaluated=100),
            }
            found = metrics_of(unlearning=0.06, retain=0.99, test=0.90, attack=0.12)
            return CellRecord(cell=cell, environment=ENVIRONMENT, metrics=found, costs=spent)
        case PathwayCell():
            spent = {"curve": Cost(seconds=120.0, cpu_seconds=100.0, trained=900, evaluated=250)}
            found = metrics_of(unlearning=0.09, retain=0.98, test=0.90, attack=0.18)
            chosen = Chosen(t=0.8, evaluated=(), mask_share=0.5, mask_tensors=30, mask_note=None, beta_counts={})
            return CellRecord(cell=cell, environment=ENVIRONMENT, metrics=found, costs=spent, chosen=chosen)
        case ReferenceCell():
            return CellRecord(cell=cell, environment=ENVIRONMENT, costs=costs)
        case AuditedCell():
            return CellRecord(cell=cell, environment=ENVIRONMENT, calibrated=truth.auc, calibrated_tails=truth.tails)
        case SweepCell():
            return CellRecord(cell=cell, environment=ENVIRONMENT, sweep=sweep_of(cell.points))
        case _:
            assert_never(cell)


def sweep_of(count: int) -> Sweep:
    """Return a sweep that comes nearest to the retrained model three quarters along."""
    positions = [index / (count - 1) for index in range(count)]
    points = tuple(SweepPoint(t=t, forget=0.90 + abs(t - 0.75) / 10, retain=0.99, test=0.90) for t in positions)
    alignment = tuple(
        PathPoint(t=t, forget_accuracy=0.9, retain_accuracy=0.99, validation_accuracy=0.9, gap=abs(t - 0.75))
        for t in positions
    )
    return Sweep(
        points=points,
        alignment=alignment,
        region=(Interval(start=0.5, end=1.0),),
        retrained=SweepPoint(t=0.0, forget=0.90, retain=0.99, test=0.90),
    )


def records_of(cells: tuple[Cell, ...]) -> Mapping[Cell, CellRecord]:
    """Return such a record for each cell."""
    return {cell: record_of(cell) for cell in cells}
