"""Everything that is measured of one attempt, put together for the gate."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcu_core import checkpoint
from mcu_core.audit.accuracy import alignment, label_probability, right_answers
from mcu_core.audit.answers import unsealed
from mcu_core.audit.facts import NOTHING_EXCLUDED, Excluded, environment, weight_change
from mcu_core.audit.membership import label_logit
from mcu_core.config import AuditConfig, UnlearningConfig
from mcu_core.data import match_classes, subsample
from mcu_core.errors import DataError
from mcu_core.images import SealedSamples
from mcu_core.inference import logits
from mcu_core.report import (
    Counts,
    Estimate,
    Measurements,
    ModelMeasurements,
    ModelName,
    References,
)
from mcu_core.runtime import Runtime, runtime_of, stream
from mcu_core.statistics.auc import auc
from mcu_core.statistics.rates import rate
from mcu_core.statistics.svc import svc_attack
from mcu_core.statistics.tails import both_tails
from mcu_core.statistics.utility import utility_loss
from mcu_core.types import Outcome, Phase, Problem, Progress, ProgressUpdate, State, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """What the audit reads."""

    forget: Tensor
    """int64 positions, as the next three."""
    retain: Tensor
    """Seeded sample of D_r."""
    test: Tensor
    sealed: Tensor
    """Class-matched to D_f."""
    svc_retain: NDArray[np.int64]
    """Positions in `retain`: the members that the SVC attack is fitted on."""
    svc_test: NDArray[np.int64]
    """Positions in `test`: as many non-members."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answers:
    """What one model says of one part of the data."""

    right: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    """p_y."""
    score: NDArray[np.float64]
    """φ."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _AllAnswers:
    """What one model says of everything that the audit reads."""

    forget: _Answers
    retain: _Answers
    test: _Answers
    sealed: _Answers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """A model that is measured."""

    name: ModelName
    state: State
    t: float | None
    seconds: float


def measure(
    problem: Problem,
    sealed: SealedSamples,
    outcome: Outcome,
    config: UnlearningConfig,
    seed: int,
    *,
    tail_level: float,
    excluded: Excluded = NOTHING_EXCLUDED,
    progress: Progress = ignore_progress,
) -> Measurements:
    """Measure original, pre-unlearned model and candidate on the same data.

    Logits are computed in float32 whatever the run's precision, so that a verdict does not depend on the processor.

    Args:
        problem: the data and the original.
        sealed: C; nothing before this function has read them, and this one reads C_eval.
        outcome: of one rung, its candidate as it was read back from its published bytes (`Outcome.with_candidate`).
        config: audit settings.
        seed: of the samples that are drawn.
        tail_level: of the gate's policy.
        excluded: counts for the report.
        progress: told after every part of every model.

    Returns:
        The measurements; the original first, the candidate last.

    Raises:
        DataError: the sealed samples are not disjoint from the problem's, or lack a class of D_f.
        DivergedError: a model's output is not finite.
    """
    started = time.perf_counter()
    runtime = unsealed(runtime_of(problem, config).in_float32(), sealed)
    rows = _rows(problem, sealed, config.audit, seed)
    models = _models(problem, outcome)
    measured, right = [], []
    for index, model in enumerate(models):
        tell = partial(_tell, progress, index, len(models))
        answers = _ask(runtime, model.state, rows, tell)
        measured.append(_measure(model, answers, rows, outcome.references, config=config.audit, tail_level=tail_level))
        right.append(answers.test.right)
    return Measurements(
        counts=_counts(problem, sealed, rows, excluded),
        references=outcome.references,
        models=tuple(measured),
        utility_loss=utility_loss(right[0], right[-1], level=config.audit.confidence),
        weight_change=weight_change(problem.original.params, outcome.candidate.state.params),
        pathway=outcome.pathway_report,
        seconds={**outcome.seconds, Phase.AUDIT.value: time.perf_counter() - started},
        environment=environment(runtime_of(problem, config)),
    )


def _rows(problem: Problem, sealed: SealedSamples, config: AuditConfig, seed: int) -> _Rows:
    used = torch.cat([problem.forget, problem.retain, problem.validation, problem.test])
    shared = int(torch.isin(sealed.evaluation, used).sum())
    if shared:
        raise DataError(f"{shared} sealed samples are also used by the run: they no longer measure anything")
    rng = stream(seed, "audit")
    retain = subsample(problem.retain, config.retain_images, rng)
    each = min(config.svc_samples, len(retain), len(problem.test))
    return _Rows(
        forget=problem.forget,
        retain=retain,
        test=problem.test,
        sealed=match_classes(problem.data.labels, sealed.evaluation, problem.data.labels[problem.forget], rng),
        svc_retain=subsample(torch.arange(len(retain)), each, rng).numpy(),
        svc_test=subsample(torch.arange(len(problem.test)), each, rng).numpy(),
    )


def _models(problem: Problem, outcome: Outcome) -> list[_Row]:
    rows = [_Row(name=ModelName.ORIGINAL, state=problem.original, t=None, seconds=0.0)]
    if outcome.pre_unlearned is not None:
        before = outcome.seconds.get(Phase.PRE_UNLEARN.value, 0.0)
        rows.append(_Row(name=outcome.pre_unlearned.name, state=outcome.pre_unlearned.state, t=1.0, seconds=before))
    candidate = outcome.candidate
    rows.append(_Row(name=outcome.name, state=candidate.state, t=candidate.t, seconds=sum(outcome.seconds.values())))
    return [replace(row, state=row.state.to(problem.device)) for row in rows]


def _tell(progress: Progress, model: int, models: int, part: int) -> None:
    progress(ProgressUpdate(phase=Phase.AUDIT, epoch=model, epochs=models, step=part, steps=4))


def _ask(runtime: Runtime, state: State, rows: _Rows, tell: Callable[[int], None]) -> _AllAnswers:
    answers = []
    for part, positions in enumerate((rows.forget, rows.retain, rows.test, rows.sealed)):
        outputs, labels = logits(runtime, state, positions), runtime.reader.data.labels[positions]
        answers.append(
            _Answers(
                right=right_answers(outputs, labels),
                confidence=label_probability(outputs, labels),
                score=label_logit(outputs, labels),
            )
        )
        tell(part + 1)
    forget, retain, test, sealed = answers
    return _AllAnswers(forget=forget, retain=retain, test=test, sealed=sealed)


def _measure(
    model: _Row,
    answers: _AllAnswers,
    rows: _Rows,
    references: References,
    *,
    config: AuditConfig,
    tail_level: float,
) -> ModelMeasurements:
    share = partial(_share, confidence=config.confidence)
    unlearning, retain = share(~answers.forget.right), share(answers.retain.right)
    forget_score, sealed_score = answers.forget.score, answers.sealed.score
    return ModelMeasurements(
        name=model.name,
        digest=checkpoint.digest(model.state),
        t=model.t,
        unlearning_accuracy=unlearning,
        retain_accuracy=retain,
        test_accuracy=share(answers.test.right),
        auc=auc(forget_score, sealed_score, confidence=config.confidence),
        tails=both_tails(forget_score, sealed_score, level=tail_level),
        membership=svc_attack(
            members=answers.retain.confidence[rows.svc_retain],
            nonmembers=answers.test.confidence[rows.svc_test],
            forget=answers.forget.confidence,
            sealed=answers.sealed.confidence,
        ),
        gaps=alignment(unlearning, retain, references),
        seconds=model.seconds,
    )


def _share(flags: NDArray[np.bool_], *, confidence: float) -> Estimate:
    return rate(int(flags.sum()), len(flags), confidence=confidence)


def _counts(problem: Problem, sealed: SealedSamples, rows: _Rows, excluded: Excluded) -> Counts:
    kept_apart = excluded.forgotten_before + excluded.held
    return Counts(
        train=len(problem.forget) + len(problem.retain) + kept_apart,
        forget=len(problem.forget),
        retain=len(problem.retain),
        forgotten_before=excluded.forgotten_before,
        held=excluded.held,
        validation=len(problem.validation),
        test=len(problem.test),
        sealed=len(sealed.evaluation),
        sealed_matched=len(rows.sealed),
    )
