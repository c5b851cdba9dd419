"""Where a candidate's BatchNorm statistics come from: they must be those of D_r."""

from typing import assert_never

import torch
from torch import Tensor

from mcu_core.config import AnotherPointRung, McuRung, MethodRung, RetrainRung, Rung
from mcu_core.connectivity.sweep import selection_rows
from mcu_core.inference import batchnorm_buffers, reestimate_batchnorm
from mcu_core.methods.retrain import batchnorm_sample
from mcu_core.report import ModelName
from mcu_core.report.evidence import BatchNormSource
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Buffers, Outcome, Problem, State

TOLERANCE = 1e-2
"""Of a mean in standard deviations of its channel, of a variance as a share of itself. The same arithmetic gives the
same bits; bfloat16 in place of float32 moves the worst channel by .008 (PreResNet-20 on Fashion-MNIST, 512 images),
512 other images of the same data by .052, images of D_f alone by more."""
EPSILON = 1e-5
"""Added to a variance, as BatchNorm itself does: a channel that is always off has none."""


def batchnorm_rows(problem: Problem, rung: Rung, seed: int) -> Tensor:
    """Return the samples of D_r that the candidate's statistics should come from.

    Args:
        problem: of the run.
        rung: that made the candidate.
        seed: with which `pipeline.run` ran it.

    Returns:
        int64 `[n]`.
    """
    match rung:
        case McuRung() | AnotherPointRung():
            return selection_rows(problem, rung.selection, stream(seed, "selection")).batchnorm
        case MethodRung() | RetrainRung():
            return batchnorm_sample(problem, stream(seed, "batchnorm"))
        case _:
            assert_never(rung)


def batchnorm_source(
    runtime: Runtime, outcome: Outcome, original_buffers: Buffers, rows: Tensor | None
) -> BatchNormSource:
    """Return where the candidate's BatchNorm statistics come from, by estimating them anew.

    Args:
        runtime: network, the samples that the run could read, device and the run's own arithmetic.
        outcome: with the candidate as it was read back.
        original_buffers: what is no statistic of BatchNorm comes from there.
        rows: int64 `[n]`, as `batchnorm_rows` gives them; `None` where nobody knows, as of a model that was retrained
            elsewhere and keeps what its training left.

    Returns:
        DIFFERENT also where nothing says which rows they should come from: a check not made is a check failed.
    """
    state = outcome.candidate.state
    statistics = batchnorm_buffers(runtime)
    if not statistics:
        return BatchNormSource.NOT_PRESENT
    if rows is None:
        retrained = outcome.name is ModelName.RETRAINED
        return BatchNormSource.TRAINED if retrained else BatchNormSource.DIFFERENT
    anew = reestimate_batchnorm(runtime, State(params=state.params, buffers=original_buffers), rows)
    same = all(_is_close(name, state.buffers, anew.buffers) for name in statistics)
    return BatchNormSource.REPRODUCED if same else BatchNormSource.DIFFERENT


def _is_close(name: str, found: Buffers, expected: Buffers) -> bool:
    difference = (found[name].double() - expected[name].double()).abs()
    if name.endswith("num_batches_tracked"):
        return not bool(difference.any())
    variance = expected[name.removesuffix("mean").removesuffix("var") + "var"].double() + EPSILON
    scale = variance.sqrt() if name.endswith("mean") else variance
    return bool((difference <= TOLERANCE * scale).all()) and bool(torch.isfinite(found[name]).all())
