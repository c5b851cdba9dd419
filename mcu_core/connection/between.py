"""Paths between two unlearned models, both ends fixed: the straight line, and a trained quadratic Bezier curve."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.config import ConnectionConfig
from mcu_core.connectivity.fit import bend
from mcu_core.data import MixedBatches
from mcu_core.losses import ascend_and_descend
from mcu_core.runtime import Runtime
from mcu_core.types import Batch, Params, Pathway, Problem, Progress, exact_end, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """φ(t) = θ_a + t (θ_b - θ_a): the models between two others, without any training."""

    first: Params
    """θ_a."""
    second: Params
    """θ_b."""

    def at(self, t: float) -> Params:
        """Return the parameters at t; the ends are exact bit for bit, and equal ends are equal everywhere.

        Raises:
            ValueError: t lies outside [0, 1].
        """
        end = exact_end(t, self.first, self.second)
        if end is not None:
            return end
        return {name: torch.lerp(tensor, self.second[name], t) for name, tensor in self.first.items()}


def fit_between(
    problem: Problem,
    first: Params,
    second: Params,
    config: ConnectionConfig,
    *,
    rng: torch.Generator,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> Pathway:
    """Train the control point of a quadratic Bezier curve between two unlearned models.

    min over θ_c of E_{t ~ U(0,1)} [ CE(D_r; φ(t)) - β CE(D_f; φ(t)) ], one t a batch, all tensors free;
    φ(t) = (1 - t)² θ_a + 2 t (1 - t) θ_c + t² θ_b

    θ_c starts at the midpoint of the ends, so that the curve starts as the straight line.

    Args:
        problem: D_f and D_r.
        first: θ_a.
        second: θ_b.
        config: training and β.
        rng: orders the batches, draws t.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        The curve from θ_a (its `original`) to θ_b (its `end`). Its points have no BatchNorm statistics of their own.

    Raises:
        DivergedError: the training diverged.

    Source: Cheng & Amiri, arXiv 2504.06407, after Garipov et al., arXiv 1802.10026. Which loss two models of different
        methods share is open there: we take NegGrad+'s, and offer β = 0.
    """
    batches = MixedBatches(
        reader=runtime.reader, forget=problem.forget, retain=problem.retain, size=config.train.batch_size
    )

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return ascend_and_descend(logits, batch, config.beta)

    return bend(
        first,
        second,
        batches,
        loss,
        config.train,
        mask=frozenset(first),
        buffers=problem.original.buffers,
        lower="connection.train.learning_rate or connection.beta",
        rng=rng,
        runtime=runtime,
        progress=progress,
    )
