"""Measuring one path between two models at many t at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.audit.accuracy import label_probability
from mcu_core.config import ConnectionConfig
from mcu_core.connection.outputs import Outputs, outputs_of
from mcu_core.connection.report import ChangedInputs, ConnectionPoint, Similarity
from mcu_core.connection.similarity import Counterfactual, agreement, changed_images, linear_cka
from mcu_core.data import match_classes
from mcu_core.errors import DataError
from mcu_core.inference import Point, Tick, reestimate_buffers
from mcu_core.report import MembershipAttack
from mcu_core.runtime import Runtime
from mcu_core.statistics.svc import svc_attack
from mcu_core.types import Buffers, Params, Phase, Problem, Progress, ProgressUpdate

Models = Sequence[tuple[Point, Buffers]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyRows:
    """What the study measures on; nothing here is read by a training but D_f and D_r."""

    batchnorm: Tensor
    """int64 positions, as all others; of D_r."""
    forget: Tensor
    retain: Tensor
    test: Tensor
    class_test: Tensor
    """Of the classes that D_r has nothing of, which `test` leaves out; empty where there are none."""
    validation: Tensor
    """In the class proportions of D_f."""
    changed: Mapping[Counterfactual, Runtime]
    """Counterfactual versions of the first samples of `test`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """What one model makes of everything that is measured on."""

    forget: Outputs
    retain: Outputs
    test: Outputs
    class_test: Outputs | None
    validation: Outputs
    changed: Mapping[Counterfactual, Outputs]


def study_rows(problem: Problem, runtime: Runtime, config: ConnectionConfig, rng: torch.Generator) -> StudyRows:
    """Draw what the study measures on, in random order, so that any first part of it is a fair sample.

    Raises:
        DataError: D_v has no sample of a class of D_f, or D_t none of a class of D_r.
    """

    def drawn(rows: Tensor, count: int) -> Tensor:
        return rows[torch.randperm(len(rows), generator=rng)[:count]]

    labels = problem.data.labels
    kept = torch.isin(labels[problem.test], labels[problem.retain])
    if not kept.any():
        raise DataError("no sample of D_t is of a class that D_r has: there is nothing to measure TA on")
    test = drawn(problem.test[kept], config.test_images)
    changed = {
        kind: replace(
            runtime,
            reader=replace(
                runtime.reader, data=changed_images(problem.data, test[: config.similarity_images], kind, rng)
            ),
        )
        for kind in Counterfactual
    }
    return StudyRows(
        batchnorm=drawn(problem.retain, config.batchnorm_images),
        forget=drawn(problem.forget, len(problem.forget)),
        retain=drawn(problem.retain, config.retain_images),
        test=test,
        class_test=drawn(problem.test[~kept], config.test_images),
        validation=match_classes(labels, problem.validation, labels[problem.forget], rng),
        changed=changed,
    )


def measure_path(
    problem: Problem,
    at: Callable[[float], Params],
    rows: StudyRows,
    config: ConnectionConfig,
    *,
    runtime: Runtime,
    progress: Progress,
) -> tuple[ConnectionPoint, ...]:
    """Measure the models on a path at equally spaced t, reading each sample once for all of them.

    BatchNorm statistics are estimated anew at every t from D_r, the ends included, so that all points are made alike.

    Args:
        problem: labels, and buffers that are no BatchNorm statistics.
        at: parameters at t in [0, 1].
        rows: what to measure on.
        config: number of points, β, sizes.
        runtime: network, samples, device; float32 to be compared between machines.
        progress: told after every batch.

    Returns:
        The points by ascending t.

    Raises:
        ConfigurationError: the network has no linear layer.
        DivergedError: an output is not finite.
    """
    positions = [index / (config.points - 1) for index in range(config.points)]
    tick = _Ticker(progress, runtime, rows)
    points = [partial(at, t) for t in positions]
    buffers = reestimate_buffers(runtime, points, problem.original.buffers, rows.batchnorm, tick=tick)
    seen = _look(runtime, list(zip(points, buffers, strict=True)), rows, tick=tick)
    return tuple(
        _point(t, one, (seen[0], seen[-1]), rows=rows, labels=problem.data.labels, config=config)
        for t, one in zip(positions, seen, strict=True)
    )


def _look(runtime: Runtime, models: Models, rows: StudyRows, *, tick: Tick) -> list[_Seen]:
    forget, test = (
        outputs_of(runtime, models, part, with_features=True, tick=tick) for part in (rows.forget, rows.test)
    )
    retain, validation = (outputs_of(runtime, models, part, tick=tick) for part in (rows.retain, rows.validation))
    class_test = outputs_of(runtime, models, rows.class_test, tick=tick) if len(rows.class_test) else None
    changed = {
        kind: outputs_of(where, models, torch.arange(len(where.reader.data.labels)), tick=tick)
        for kind, where in rows.changed.items()
    }
    return [
        _Seen(
            forget=forget[index],
            retain=retain[index],
            test=test[index],
            class_test=class_test[index] if class_test else None,
            validation=validation[index],
            changed={kind: found[index] for kind, found in changed.items()},
        )
        for index in range(len(models))
    ]


def _point(
    t: float,
    seen: _Seen,
    ends: tuple[_Seen, _Seen],
    *,
    rows: StudyRows,
    labels: Tensor,
    config: ConnectionConfig,
) -> ConnectionPoint:
    forget_loss, forget_accuracy = _loss_and_accuracy(seen.forget.logits, labels[rows.forget])
    retain_loss, retain_accuracy = _loss_and_accuracy(seen.retain.logits, labels[rows.retain])
    _, test_accuracy = _loss_and_accuracy(seen.test.logits, labels[rows.test])
    attack = _attack(seen, rows, labels, config.svc_samples)
    first, second = (_similarity(seen, end, config.similarity_images) for end in ends)
    return ConnectionPoint(
        t=t,
        unlearning_accuracy=1.0 - forget_accuracy,
        class_unlearning_accuracy=_class_unlearning(seen, labels[rows.class_test]),
        retain_accuracy=retain_accuracy,
        test_accuracy=test_accuracy,
        membership=attack.nonmember_share,
        membership_gap=attack.gap,
        forget_loss=forget_loss,
        retain_loss=retain_loss,
        objective=retain_loss - config.beta * forget_loss,
        first=first,
        second=second,
        mirrored=_changed(seen, rows, Counterfactual.MIRRORED),
        restyled=_changed(seen, rows, Counterfactual.RESTYLED),
    )


def _loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    loss = float(functional.cross_entropy(logits.double(), labels))
    return loss, float((logits.argmax(dim=1) == labels).double().mean())


def _class_unlearning(seen: _Seen, labels: Tensor) -> float | None:
    return None if seen.class_test is None else 1.0 - _loss_and_accuracy(seen.class_test.logits, labels)[1]


def _attack(seen: _Seen, rows: StudyRows, labels: Tensor, most: int) -> MembershipAttack:
    each = min(len(rows.retain), len(rows.test), most)
    return svc_attack(
        label_probability(seen.retain.logits[:each], labels[rows.retain[:each]]),
        label_probability(seen.test.logits[:each], labels[rows.test[:each]]),
        label_probability(seen.forget.logits, labels[rows.forget]),
        label_probability(seen.validation.logits, labels[rows.validation]),
    )


def _similarity(seen: _Seen, end: _Seen, count: int) -> Similarity:
    return Similarity(
        forget_agreement=agreement(seen.forget.logits, end.forget.logits),
        test_agreement=agreement(seen.test.logits, end.test.logits),
        forget_cka=linear_cka(seen.forget.features[:count], end.forget.features[:count]),
        test_cka=linear_cka(seen.test.features[:count], end.test.features[:count]),
    )


def _changed(seen: _Seen, rows: StudyRows, kind: Counterfactual) -> ChangedInputs:
    logits = seen.changed[kind].logits
    loss, accuracy = _loss_and_accuracy(logits, rows.changed[kind].reader.data.labels)
    return ChangedInputs(accuracy=accuracy, loss=loss, unchanged=agreement(logits, seen.test.logits[: len(logits)]))


class _Ticker:
    """Counts the batches of one path's measurement."""

    def __init__(self, progress: Progress, runtime: Runtime, rows: StudyRows) -> None:
        parts = [rows.batchnorm, rows.forget, rows.test, rows.retain, rows.validation]
        parts += [rows.class_test] if len(rows.class_test) else []
        changed = (where.chunk_count(where.reader.data.labels) for where in rows.changed.values())
        self._steps = sum(runtime.chunk_count(part) for part in parts) + sum(changed)
        self._progress = progress
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        self._progress(ProgressUpdate(phase=Phase.AUDIT, epoch=0, epochs=1, step=self._done, steps=self._steps))
