"""One rung of the ladder: from a problem to a candidate."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

import torch

from mcu_core import checkpoint
from mcu_core.config import (
    AnotherPointRung,
    AscentConfig,
    CurveConfig,
    FixedBetaConfig,
    GivenConfig,
    McuRung,
    MethodConfig,
    MethodRung,
    PreUnlearningConfig,
    QuantileConfig,
    ReferenceConfig,
    RetrainRung,
    Rung,
    SelectionConfig,
    UnlearningConfig,
)
from mcu_core.connectivity.fit import Fit, choose_mask, fit_curve
from mcu_core.connectivity.selection import (
    Choice,
    choose_point,
    choose_untried,
    effective_region,
    sweep_positions,
)
from mcu_core.connectivity.sweep import Sweep, selection_rows
from mcu_core.errors import ConfigurationError
from mcu_core.inference import accuracy, reestimate_batchnorm, unseen_accuracy
from mcu_core.masks import TensorMask
from mcu_core.methods import name_of, unlearn
from mcu_core.methods.retrain import batchnorm_sample
from mcu_core.report import ModelName, PathwayReport, References
from mcu_core.runtime import Runtime, runtime_of, stream
from mcu_core.types import (
    Candidate,
    Outcome,
    Pathway,
    Phase,
    PreUnlearned,
    PreviousPathway,
    Problem,
    Progress,
    State,
    ignore_progress,
)


def run(
    problem: Problem,
    rung: Rung,
    config: UnlearningConfig,
    seed: int,
    *,
    previous: PreviousPathway | None = None,
    given: State | None = None,
    progress: Progress = ignore_progress,
) -> Outcome:
    """Run one rung.

    Args:
        problem: what to forget; not changed. The device of its original computes.
        rung: which attempt.
        config: precision and batch of evaluation; its ladder is not read.
        seed: of everything random; each purpose has its own stream.
        previous: the pathway of an earlier rung, for `another_point`.
        given: θ_p that the user brings, where the rung's pre-unlearning is `given`.
        progress: told at every step.

    Returns:
        The candidate with everything that explains it. Nothing in it depends on D_t or on sealed samples.

    Raises:
        ConfigurationError: `another_point` without a pathway, or without a point that was not tried; `given` without a
            model; an objective without the teacher that it needs.
        CheckpointError: the model that was given is not the one whose digest the rung names.
        ArchitectureError: its tensors are not the problem's model's.
        DataError: a sample does not fit the architecture.
        DivergedError: a training diverged.
    """
    runtime = runtime_of(problem, config)
    work = _Work(
        problem=problem,
        seed=seed,
        references=measure_references(problem, runtime),
        runtime=runtime,
        clock=_Clock(runtime.device),
        progress=progress,
    )
    match rung:
        case McuRung():
            return _mcu(work, rung, given)
        case AnotherPointRung():
            if previous is None:
                raise ConfigurationError("an `another_point` rung needs the pathway of an earlier rung")
            return _another_point(work, rung.selection, previous)
        case MethodRung():
            return _method(work, rung.method, Phase.PRE_UNLEARN)
        case RetrainRung():
            return _method(work, rung.recipe, Phase.RETRAIN)
        case _:
            assert_never(rung)


def measure_references(problem: Problem, runtime: Runtime) -> References:
    """Return what unlearning aligns with: A_train on D_f ∪ D_r and A_v, see `inference.unseen_accuracy`."""
    return References(
        train_accuracy=accuracy(runtime, problem.original, torch.cat([problem.forget, problem.retain])),
        validation_accuracy=unseen_accuracy(problem, runtime),
    )


class _Clock:
    """Wall time by phase."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # what was only queued has not been spent yet
        self.seconds[phase.value] = self.seconds.get(phase.value, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What every step of a rung needs."""

    problem: Problem
    seed: int
    references: References
    runtime: Runtime
    clock: _Clock
    progress: Progress

    def sweep(self, pathway: Pathway, selection: SelectionConfig) -> Sweep:
        return Sweep(
            runtime=self.runtime,
            pathway=pathway,
            buffers=self.problem.original.buffers,
            rows=selection_rows(self.problem, selection, stream(self.seed, "selection")),
            references=self.references,
            progress=self.progress,
        )


def _mcu(work: _Work, rung: McuRung, given: State | None) -> Outcome:
    problem, runtime, progress = work.problem, work.runtime, work.progress
    if isinstance(rung.curve.objective, ReferenceConfig) and problem.teacher is None:
        raise ConfigurationError("the curve's objective `reference` needs a teacher: train references first")
    # 1. The end of the pathway
    with work.clock.phase(Phase.PRE_UNLEARN):
        end = _pre_unlearn(work, rung.pre_unlearning, given)
    # 2. What the curve may move
    with work.clock.phase(Phase.MASK):
        rng = stream(work.seed, "mask")
        mask = choose_mask(problem, rung.curve.mask, rng, runtime=runtime, progress=progress)
    # 3. The curve
    with work.clock.phase(Phase.CURVE):
        fit = fit_curve(
            problem,
            end.params,
            mask.names,
            work.references,
            rung.curve,
            rng=stream(work.seed, "curve"),
            runtime=runtime,
            progress=progress,
        )
    # 4. The point, and BatchNorm statistics of D_r for it and for the end
    with work.clock.phase(Phase.SELECT):
        sweep = work.sweep(fit.pathway, rung.selection)
        choice = choose_point(sweep.measure, work.references, rung.selection)
        candidate = Candidate(t=choice.t, state=sweep.state_at(choice.t))
        pre_unlearned = PreUnlearned(name=ModelName(rung.pre_unlearning.kind), state=sweep.state_at(1.0))
    return Outcome(
        name=pathway_name(rung.curve),
        candidate=candidate,
        references=work.references,
        seconds=work.clock.seconds,
        pre_unlearned=pre_unlearned,
        pathway=fit.pathway,
        pathway_report=_report(choice, mask, fit, rung.selection, len(problem.original.params)),
        tried=(choice.t,),
    )


def _pre_unlearn(work: _Work, config: PreUnlearningConfig, given: State | None) -> State:
    if not isinstance(config, GivenConfig):
        rng = stream(work.seed, "pre_unlearn")
        return unlearn(work.problem, config, rng, runtime=work.runtime, progress=work.progress)
    if given is None:
        raise ConfigurationError(f"the pre-unlearned model {config.digest} of the configuration was not given")
    content = checkpoint.to_bytes(given)  # read back, and so checked as if it had come in a file
    return checkpoint.load(content, work.problem.model, expected_digest=config.digest).to(work.runtime.device)


def pathway_name(curve: CurveConfig) -> ModelName:
    """Return the name under which a point of such a pathway is reported."""
    match curve.objective:
        case AscentConfig(beta=FixedBetaConfig()):
            return ModelName.MCU
        case AscentConfig():
            return ModelName.MCU_BETA
        case QuantileConfig():
            return ModelName.MCU_QUANTILE
        case ReferenceConfig():
            return ModelName.MCU_REFERENCE
        case _:
            assert_never(curve.objective)


def _report(choice: Choice, mask: TensorMask, fit: Fit, selection: SelectionConfig, total: int) -> PathwayReport:
    return PathwayReport(
        sweep=choice.sweep,
        evaluated=choice.evaluated,
        region=choice.region,
        chosen_t=choice.t,
        policy=selection.policy.value,
        mask_share=mask.share,
        mask_note=mask.note,
        mask_tensors=len(mask.names),
        total_tensors=total,
        beta_counts=fit.beta_counts,
    )


def _another_point(work: _Work, selection: SelectionConfig, previous: PreviousPathway) -> Outcome:
    with work.clock.phase(Phase.SELECT):
        sweep = work.sweep(previous.pathway, selection)
        report = _with_sweep(previous.report, sweep, selection)
        points = (*report.evaluated, *report.sweep)
        chosen = choose_untried(points, report.region, work.references, selection, tried=previous.tried)
        candidate = Candidate(t=chosen.t, state=sweep.state_at(chosen.t))
        pre_unlearned = PreUnlearned(name=previous.pre_unlearning, state=sweep.state_at(1.0))
    seconds = dict(previous.seconds)
    for name, spent in work.clock.seconds.items():
        seconds[name] = seconds.get(name, 0.0) + spent
    return Outcome(
        name=previous.name,
        candidate=candidate,
        references=work.references,
        seconds=seconds,
        pre_unlearned=pre_unlearned,
        pathway=previous.pathway,
        pathway_report=report.model_copy(update={"chosen_t": chosen.t, "policy": selection.policy.value}),
        tried=(*previous.tried, chosen.t),
    )


def _with_sweep(report: PathwayReport, sweep: Sweep, selection: SelectionConfig) -> PathwayReport:
    """Return a report whose pathway was measured all along, for the one who needs it: the rung below did without."""
    if report.sweep or not selection.sweep:
        return report
    points = sweep.measure(sweep_positions(selection))
    return report.model_copy(update={"sweep": points, "region": effective_region(points)})


def _method(work: _Work, method: MethodConfig, phase: Phase) -> Outcome:
    """Run a method without a pathway; its BatchNorm statistics are estimated anew on D_r, as those of a point are."""
    rng = stream(work.seed, phase.value)
    with work.clock.phase(phase):
        state = unlearn(work.problem, method, rng, runtime=work.runtime, progress=work.progress)
        state = reestimate_batchnorm(
            work.runtime, state, batchnorm_sample(work.problem, stream(work.seed, "batchnorm"))
        )
    return Outcome(
        name=name_of(method),
        candidate=Candidate(t=None, state=state),
        references=work.references,
        seconds=work.clock.seconds,
    )
