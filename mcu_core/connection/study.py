"""The connectivity study of two models: fit the paths, measure along them, compare with the ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from mcu_core import checkpoint
from mcu_core.audit.facts import environment
from mcu_core.config import ConnectionConfig
from mcu_core.connection.barrier import deviation
from mcu_core.connection.between import Line, fit_between
from mcu_core.connection.measure import measure_path, study_rows
from mcu_core.connection.report import Connection, ConnectionPoint, End, PathKind, PathReport, Summary
from mcu_core.data import BatchReader
from mcu_core.params import norm, subtract
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.types import Params, Pathway, Problem, Progress, State, ignore_progress

QUANTITIES: Mapping[str, Callable[[ConnectionPoint], float | None]] = {
    "UA": lambda point: point.unlearning_accuracy,
    "UA_test": lambda point: point.class_unlearning_accuracy,
    "RA": lambda point: point.retain_accuracy,
    "TA": lambda point: point.test_accuracy,
    "MIA": lambda point: point.membership,
    "CE(D_f)": lambda point: point.forget_loss,
    "CE(D_r)": lambda point: point.retain_loss,
    "CE(D_r) - β CE(D_f)": lambda point: point.objective,
    "TA, mirrored": lambda point: point.mirrored.accuracy,
    "TA, restyled": lambda point: point.restyled.accuracy,
    "CE, mirrored": lambda point: point.mirrored.loss,
    "CE, restyled": lambda point: point.restyled.loss,
}
"""What is summarised along a path, by the name under which people read it; `None` where it was not measured."""

Keep = Callable[[Callable[[], Params]], Params]
"""Returns what an earlier run has kept, or makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """One end of the study."""

    name: str
    """For people: how it was made."""
    state: State


def study_connection(
    problem: Problem,
    first: NamedModel,
    second: NamedModel,
    config: ConnectionConfig,
    seed: int,
    *,
    keep_control: Keep = lambda make: make(),
    progress: Progress = ignore_progress,
) -> Connection:
    """Connect two unlearned models by a straight line and by a trained curve, and measure along both.

    At every t BatchNorm statistics are estimated anew from D_r, the ends included, so that all points are made alike.
    Everything is measured in float32, and each sample is read once for all points of a path.

    Args:
        problem: D_f, D_r, D_v and D_t. Its original is not read, but for buffers that are no BatchNorm statistics.
        first: the model at t = 0.
        second: the model at t = 1.
        config: curve and measurement.
        seed: of everything random; each purpose has its own stream.
        keep_control: of the curve's trained control point, the dearest part of the study.
        progress: told at every step.

    Returns:
        The study's result. UA, RA, TA and losses are what the paper plots; membership is SalUn's attack fitted anew at
        every point on D_r against D_t.

    Raises:
        ConfigurationError: the network has no linear layer.
        DataError: a sample does not fit the architecture, D_v lacks a class of D_f, or D_t all classes of D_r.
        DivergedError: the curve diverged, or an output is not finite.

    Source: Cheng & Amiri, arXiv 2504.06407. What it leaves open is decided in `between`, `barrier` and `similarity`.
    """
    reader = BatchReader(data=problem.data, architecture=problem.architecture, device=problem.device)
    dtype = resolve_precision(config.precision, problem.device)
    runtime = Runtime(model=problem.model, reader=reader, dtype=dtype, evaluation_batch=config.evaluation_batch)
    ends = first.state.to(problem.device).params, second.state.to(problem.device).params
    rows = study_rows(problem, runtime.in_float32(), config, stream(seed, "connection rows"))

    def control() -> Params:
        rng = stream(seed, "connection curve")
        return fit_between(problem, *ends, config, rng=rng, runtime=runtime, progress=progress).control

    paths: list[PathReport] = []
    for kind in PathKind:
        at = _path(ends, kind, lambda: keep_control(control))
        started = time.perf_counter()
        points = measure_path(problem, at, rows, config, runtime=runtime.in_float32(), progress=progress)
        seconds = time.perf_counter() - started
        paths.append(PathReport(kind=kind, points=points, summaries=_summaries(points), seconds=seconds))
    return Connection(
        first=End(name=first.name, digest=checkpoint.digest(first.state)),
        second=End(name=second.name, digest=checkpoint.digest(second.state)),
        architecture=problem.architecture,
        config=config,
        seed=seed,
        forget_count=len(problem.forget),
        retain_count=len(problem.retain),
        distance=norm(subtract(*ends)),
        size=sum(norm(end) for end in ends) / 2.0,
        paths=tuple(paths),
        environment=environment(runtime),
    )


def _path(ends: tuple[Params, Params], kind: PathKind, control: Callable[[], Params]) -> Callable[[float], Params]:
    first, second = ends
    match kind:
        case PathKind.LINEAR:
            return Line(first=first, second=second).at
        case PathKind.QUADRATIC:
            middle = {name: tensor.to(first[name].device) for name, tensor in control().items()}
            return Pathway(original=first, control=middle, end=second, mask=frozenset(first)).at
        case _:
            assert_never(kind)


def _summaries(points: Sequence[ConnectionPoint]) -> tuple[Summary, ...]:
    positions = [point.t for point in points]
    summaries = []
    for quantity, read in QUANTITIES.items():
        values = [value for point in points if (value := read(point)) is not None]
        if not values:
            continue
        found = deviation(positions, values)
        summaries.append(
            Summary(
                quantity=quantity,
                at_first=values[0],
                at_second=values[-1],
                rise=found.rise,
                rise_at=found.rise_at,
                dip=found.dip,
                dip_at=found.dip_at,
                fluctuation=found.fluctuation,
            )
        )
    return tuple(summaries)
