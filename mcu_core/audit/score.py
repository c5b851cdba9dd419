"""SCORE: the only step of the audit that touches samples and models. Numbers of every sample, and no decision."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcu_core import checkpoint
from mcu_core.audit.answers import Family, KnownAnswers, reference_scores, scores_of, unsealed
from mcu_core.audit.batchnorm import batchnorm_source
from mcu_core.audit.blind import image_statistics
from mcu_core.audit.duplicates import find_duplicates
from mcu_core.audit.facts import NOTHING_EXCLUDED, Excluded, count_parts, environment, weight_change
from mcu_core.audit.relearning import Relearned, relearn
from mcu_core.audit.rows import CanaryRows, anonymous, draw_rows, shared_rows
from mcu_core.config import UnlearningConfig
from mcu_core.errors import ConfigurationError
from mcu_core.images import SealedSamples
from mcu_core.report import ModelName
from mcu_core.report.evidence import Facts, Group, RelearningPoint, Role
from mcu_core.report.plan import AuditPlan, Signal
from mcu_core.runtime import Runtime, runtime_of, stream
from mcu_core.statistics.auc import area
from mcu_core.statistics.draws import match_classes
from mcu_core.statistics.scores import Integers, ModelScores, ReferenceScores, ScoreTable
from mcu_core.types import Outcome, Phase, Problem, Progress, ProgressUpdate, State, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """What a run knows of its making and the audit cannot see."""

    started_at: int
    """Of the run, microseconds since 1970-01-01 UTC."""
    original_digest: str | None = None
    """SHA-256 of the file that the original was read from; `None` takes that of the state as the core would write it,
    which differs where a registered file has its tensors in another order."""
    batchnorm_rows: Tensor | None = None
    """What the candidate's BatchNorm statistics should come from: see `batchnorm.batchnorm_rows`."""
    excluded: Excluded = NOTHING_EXCLUDED


def score(
    problem: Problem,
    sealed: SealedSamples,
    outcome: Outcome,
    plan: AuditPlan,
    *,
    config: UnlearningConfig,
    origin: Origin,
    references: Sequence[Family] = (),
    canaries: CanaryRows | None = None,
    forgotten_before: Tensor | None = None,
    subjects: Tensor | None = None,
    known: KnownAnswers | None = None,
    progress: Progress = ignore_progress,
) -> ScoreTable:
    """Score original, pre-unlearned model, candidate and relearned candidate on the same samples.

    1. Draw the rows. 2. Relearn. 3. Ask all models, reading each sample once. 4. Ask the references. 5. Look for
    duplicates. 6. State the facts. Scores are computed in float32 by the test transform whatever the run's precision,
    so that a verdict does not depend on the processor.

    Args:
        problem: the data as the run could read it, and the original.
        sealed: C; nothing before this function has read it.
        outcome: of one rung, its candidate as it was read back from its published bytes (`Outcome.with_candidate`).
        plan: seed and sizes of everything that is drawn; the primary signal.
        config: arithmetic of the run and batch of evaluation.
        origin: what only the run knows.
        references: families of leave-out models; none that taught the candidate.
        canaries: of this run; those included are part of the problem's D_f.
        forgotten_before: int64 `[k]`, positions of what earlier releases forgot.
        subjects: int64 `[number of samples]`, equal for the samples of one person; `None` makes each its own.
        known: answers of earlier audits of these samples; `None` asks every model anew.
        progress: told after every batch.

    Returns:
        The table: rows in an order, subjects under numbers, that mean nothing outside of it.

    Raises:
        ConfigurationError: the references are not those of the plan.
        DataError: a group that the audit cannot do without is empty, or sealed samples and problem do not fit.
        DivergedError: an output is not finite, or the candidate does not stand the relearning.
    """
    started = time.perf_counter()
    _require_planned(plan, references)
    # 1. Rows
    trained = runtime_of(problem, config)
    work = _Work(
        runtime=unsealed(trained.in_float32(), sealed),
        rows=draw_rows(problem, sealed, plan, canaries=canaries, forgotten_before=forgotten_before),
        plan=plan,
        progress=progress,
    )
    # 2. Relearn
    before = time.perf_counter()
    candidate = outcome.candidate.state.to(problem.device)
    relearned = relearn(trained, candidate, problem.retain, stream(plan.seed, "audit relearning"), progress=progress)
    relearn_seconds = time.perf_counter() - before
    # 3. Models
    models = _models(problem, outcome, candidate, relearned[-1].state)
    found = scores_of(work.runtime, list(models.values()), work.all_rows, known=known, tick=work.tick)
    scores = dict(zip(models, found, strict=True))
    # 4. References
    reference = None
    if references:
        reference = reference_scores(work.runtime, references, work.all_rows, known=known, tick=work.tick)
    # 5. Duplicates
    rng = stream(plan.seed, "audit duplicates")
    duplicates = find_duplicates(
        sealed.open(), work.rows[Group.FORGET], problem.retain, sealed.evaluation, rng, batch=config.evaluation_batch
    )
    # 6. Facts
    facts = Facts(
        plan=plan.digest,
        digests=_digests(models, origin.original_digest),
        names=_names(outcome),
        seconds={**_seconds(outcome), Role.RELEARNED: relearn_seconds},
        chosen_t=outcome.candidate.t,
        weight_change=weight_change(problem.original.params, candidate.params),
        batchnorm=batchnorm_source(trained, outcome, problem.original.buffers, origin.batchnorm_rows),
        shared_rows=shared_rows(problem, sealed, canaries),
        counts=count_parts(problem, sealed, work.rows, origin.excluded),
        references=outcome.references,
        duplicates=duplicates,
        relearning=_relearning_points(work, relearned, scores, reference),
        pathway=outcome.pathway_report,
        phase_seconds={**outcome.seconds, Phase.AUDIT.value: time.perf_counter() - started},
        started_at=origin.started_at,
        environment=environment(trained),
    )
    rows = work.all_rows
    return ScoreTable(
        facts=facts,
        group=work.groups,
        label=work.labels,
        subject=anonymous(rows if subjects is None else subjects[rows], plan.seed),
        blind=image_statistics(sealed.open(), rows, batch=config.evaluation_batch),
        models=scores,
        references=reference,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Work:
    """What every pass needs, and how many batches are done."""

    runtime: Runtime
    """Over all samples, in float32."""
    rows: Mapping[Group, Tensor]
    plan: AuditPlan
    progress: Progress
    done: int = 0

    @property
    def all_rows(self) -> Tensor:
        """Return the rows of all groups, one after the other."""
        return torch.cat(list(self.rows.values()))

    @property
    def labels(self) -> Integers:
        """Return the class of each of `all_rows`."""
        labels: Integers = self.runtime.reader.data.labels[self.all_rows].numpy()
        return labels

    @property
    def groups(self) -> NDArray[np.str_]:
        """Return the group of each of `all_rows`."""
        sizes = [len(part) for part in self.rows.values()]
        return np.repeat([group.value for group in self.rows], sizes).astype(np.str_)

    def places(self, group: Group) -> Integers:
        """Return where a group lies in `all_rows`."""
        return np.flatnonzero(self.groups == group.value)

    def tick(self) -> None:
        """Tell of one batch more; the number of batches of references is known only when they are dealt."""
        self.done += 1
        steps = max(self.done, self.runtime.chunk_count(self.all_rows))
        self.progress(ProgressUpdate(phase=Phase.AUDIT, epoch=0, epochs=1, step=self.done, steps=steps))


def _require_planned(plan: AuditPlan, references: Sequence[Family]) -> None:
    planned = plan.references
    if (planned is None) != (not references):
        raise ConfigurationError("the plan and the audit must agree on whether there are references")
    if planned is None and plan.primary_signal is Signal.CALIBRATED:
        raise ConfigurationError("the calibrated signal needs references")
    if planned is not None and any(len(family.models) != planned.folds for family in references):
        raise ConfigurationError(f"the plan's references have {planned.folds} folds, others were given")


def _models(problem: Problem, outcome: Outcome, candidate: State, relearned: State) -> dict[Role, State]:
    models = {Role.ORIGINAL: problem.original}
    if outcome.pre_unlearned is not None:
        models[Role.PRE_UNLEARNED] = outcome.pre_unlearned.state.to(problem.device)
    return {**models, Role.CANDIDATE: candidate, Role.RELEARNED: relearned}


def _names(outcome: Outcome) -> dict[Role, ModelName]:
    names = {Role.ORIGINAL: ModelName.ORIGINAL}
    if outcome.pre_unlearned is not None:
        names[Role.PRE_UNLEARNED] = outcome.pre_unlearned.name
    return {**names, Role.CANDIDATE: outcome.name, Role.RELEARNED: ModelName.FINETUNED}


def _seconds(outcome: Outcome) -> dict[Role, float]:
    seconds = {Role.ORIGINAL: 0.0}
    if outcome.pre_unlearned is not None:
        seconds[Role.PRE_UNLEARNED] = outcome.seconds.get(Phase.PRE_UNLEARN.value, 0.0)
    return {**seconds, Role.CANDIDATE: sum(outcome.seconds.values())}


def _digests(models: Mapping[Role, State], original: str | None) -> dict[Role, str]:
    digests = {role: checkpoint.digest(state) for role, state in models.items()}
    return digests if original is None else {**digests, Role.ORIGINAL: original}


def _relearning_points(
    work: _Work,
    relearned: Sequence[Relearned],
    scores: Mapping[Role, ModelScores],
    reference: ReferenceScores | None,
) -> tuple[RelearningPoint, ...]:
    """Return how D_f stands before the epoch, at its marks, and at its end; compared as STATS compares."""
    labels, forget = work.labels, work.places(Group.FORGET)
    matched = match_classes(
        labels, work.places(Group.EVALUATION), labels[forget], seed=work.plan.seed, purpose="match.forget"
    )
    places, count = np.concatenate([forget, matched]), len(forget)
    known = np.zeros(len(labels))
    if work.plan.primary_signal is Signal.CALIBRATED and reference is not None:
        known = reference.phi
    rows = work.all_rows[torch.from_numpy(places)]
    between = scores_of(work.runtime, [model.state for model in relearned[:-1]], rows, tick=work.tick)
    ends = (_at(scores[role], places) for role in (Role.CANDIDATE, Role.RELEARNED))
    points = []
    epochs = [0.0, *(model.epochs for model in relearned)]
    for epoch, model in zip(epochs, [next(ends), *between, *ends], strict=True):
        primary, right = model.phi - known[places], model.prediction == labels[places]
        accuracy = float(right[:count].mean())
        points.append(
            RelearningPoint(epochs=epoch, forget_accuracy=accuracy, auc=area(primary[:count], primary[count:]))
        )
    return tuple(points)


def _at(scores: ModelScores, places: Integers) -> ModelScores:
    return replace(scores, **{field.name: getattr(scores, field.name)[places] for field in fields(scores)})
