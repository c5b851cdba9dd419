"""Unlearning methods. Each is one function; which one runs is a `match`, so that mypy reports a forgotten one."""

from typing import Protocol, TypeVar, assert_never

import torch

from mcu_core.config import (
    AlignConfig,
    BadTeacherConfig,
    FinetuneConfig,
    GradientAscentConfig,
    L1SparseConfig,
    MethodConfig,
    NegGradPlusConfig,
    NegTaskVectorConfig,
    RandomLabelConfig,
    RetrainConfig,
    SalUnConfig,
    ScrubConfig,
    SsdConfig,
)
from mcu_core.methods.align import align
from mcu_core.methods.bad_teacher import bad_teacher
from mcu_core.methods.finetune import finetune
from mcu_core.methods.gradient_ascent import gradient_ascent
from mcu_core.methods.l1_sparse import l1_sparse
from mcu_core.methods.neg_task_vector import neg_task_vector
from mcu_core.methods.neggrad_plus import neggrad_plus
from mcu_core.methods.random_label import random_label
from mcu_core.methods.retrain import retrain
from mcu_core.methods.salun import salun
from mcu_core.methods.scrub import scrub
from mcu_core.methods.ssd import ssd
from mcu_core.report import ModelName
from mcu_core.runtime import Runtime
from mcu_core.types import Problem, Progress, State, ignore_progress

ConfigT_contra = TypeVar("ConfigT_contra", contravariant=True)


class Method(Protocol[ConfigT_contra]):
    """What every method is: pure at the boundary, in place inside.

    It changes neither the problem nor the global random state; the same generator gives the same bits on a CPU; the
    result has the names, shapes, dtypes and device of the original. Buffers are as training left them: a method that
    reads D_f in training leaves statistics of D_f in them, so they are estimated anew before anything else.
    """

    def __call__(
        self, problem: Problem, config: ConfigT_contra, rng: torch.Generator, *, runtime: Runtime, progress: Progress
    ) -> State:
        """Return the unlearned state."""


def unlearn(  # noqa: PLR0911, PLR0912 - one case a method
    problem: Problem,
    config: MethodConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Run the method that the configuration names; see `Method`.

    Raises:
        ConfigurationError: it cannot work with this problem; the message says why.
        DivergedError: its training diverged.
        NoEffectError: it found nothing to change.
    """
    match config:
        case RetrainConfig():
            return retrain(problem, config, rng, runtime=runtime, progress=progress)
        case FinetuneConfig():
            return finetune(problem, config, rng, runtime=runtime, progress=progress)
        case RandomLabelConfig():
            return random_label(problem, config, rng, runtime=runtime, progress=progress)
        case GradientAscentConfig():
            return gradient_ascent(problem, config, rng, runtime=runtime, progress=progress)
        case NegGradPlusConfig():
            return neggrad_plus(problem, config, rng, runtime=runtime, progress=progress)
        case SalUnConfig():
            return salun(problem, config, rng, runtime=runtime, progress=progress)
        case NegTaskVectorConfig():
            return neg_task_vector(problem, config, rng, runtime=runtime, progress=progress)
        case AlignConfig():
            return align(problem, config, rng, runtime=runtime, progress=progress)
        case ScrubConfig():
            return scrub(problem, config, rng, runtime=runtime, progress=progress)
        case SsdConfig():
            return ssd(problem, config, rng, runtime=runtime, progress=progress)
        case L1SparseConfig():
            return l1_sparse(problem, config, rng, runtime=runtime, progress=progress)
        case BadTeacherConfig():
            return bad_teacher(problem, config, rng, runtime=runtime, progress=progress)
        case _:
            assert_never(config)


def name_of(config: MethodConfig) -> ModelName:
    """Return the name under which a method's model is reported: that of its kind."""
    return ModelName(config.kind)
