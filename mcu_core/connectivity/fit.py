"""Training of the curve: which tensors may move, and the control point that bends it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.config import AscentConfig, CurveConfig, MaskConfig, MaskMode, TrainConfig
from mcu_core.connectivity.beta import Penalty
from mcu_core.connectivity.bezier import Curve, uniform_positions
from mcu_core.data import Batches, MixedBatches, subsample
from mcu_core.losses import ascend_and_descend
from mcu_core.masks import TensorMask, element_counts, gradient_scores, select_tensors
from mcu_core.objectives import bounded_loss
from mcu_core.params import midpoint
from mcu_core.report import References
from mcu_core.runtime import Runtime
from mcu_core.training import Loss, mean_gradient, minimise
from mcu_core.types import Batch, Buffers, Params, Pathway, Phase, Problem, Progress, State, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A trained curve and how β went."""

    pathway: Pathway
    beta_counts: dict[str, int]
    """How many batches used which β; empty where the objective has none."""


def choose_mask(
    problem: Problem,
    config: MaskConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> TensorMask:
    """Rank the tensors of θ_o by the gradients of both losses and choose those that the curve may move.

    Args:
        problem: θ_o, D_f and D_r.
        config: mode, shares, images of D_r.
        rng: draws the images of D_r.
        runtime: network, samples, device.
        progress: told after every batch.

    Returns:
        The mask; see `masks.select_tensors`.

    Raises:
        ConfigurationError: nothing may move.
    """
    sizes = element_counts(problem.original.params)
    if config.mode in {MaskMode.FULL, MaskMode.RANDOM}:
        return select_tensors(sizes, {}, {}, config, rng)
    retain, forget = (
        gradient_scores(mean_gradient(runtime, problem.original, rows, phase=Phase.MASK, progress=progress))
        for rows in (subsample(problem.retain, config.retain_images, rng), problem.forget)
    )
    return select_tensors(sizes, retain, forget, config, rng)


def fit_curve(
    problem: Problem,
    end: Params,
    mask: frozenset[str],
    references: References,
    config: CurveConfig,
    *,
    rng: torch.Generator,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> Fit:
    """Train θ_c so that the models on the curve forget D_f and keep D_r.

    min over θ_c on the mask of E_{t ~ U(0,1)} [ L(φ(t)) ], one t a batch; the paper's L is CE(D_r) - β CE(D_f)

    θ_c starts at the midpoint, so that the curve starts as the straight line, and stays there off the mask.

    Args:
        problem: θ_o, D_f and D_r.
        end: θ_p.
        mask: names of the tensors that may move.
        references: A_v and A_train, for an adaptive β.
        config: training, objective, share of D_r.
        rng: draws the share of D_r, orders the batches, draws t.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        The pathway. Its points have no BatchNorm statistics of their own: those of training mix all t and D_f.

    Raises:
        ConfigurationError: the objective needs a teacher that the problem does not have.
        DivergedError: the training diverged.

    Source: arXiv 2505.10859, equation 2 and section 2.2; defaults of its appendix D.
    """
    share = max(1, round(config.retain_share * len(problem.retain)))
    batches = MixedBatches(
        reader=runtime.reader,
        forget=problem.forget,
        retain=subsample(problem.retain, share, rng),
        size=config.train.batch_size,
        forget_share=config.forget_share,
    )
    if isinstance(config.objective, AscentConfig):
        penalty = Penalty(config.objective.beta, references)
        loss, lower = ascent(penalty, config.objective.ceiling), "curve.train.learning_rate or curve.objective.beta"
    else:
        penalty = None
        loss = bounded_loss(problem, config.objective, runtime=runtime)
        lower = "curve.train.learning_rate or curve.objective.weight"
    pathway = bend(
        problem.original.params,
        end,
        batches,
        loss,
        config.train,
        mask=mask,
        buffers=problem.original.buffers,
        lower=lower,
        rng=rng,
        runtime=runtime,
        progress=progress,
    )
    return Fit(pathway=pathway, beta_counts={} if penalty is None else penalty.counts())


def bend(
    first: Params,
    last: Params,
    batches: Batches,
    loss: Loss,
    config: TrainConfig,
    *,
    mask: frozenset[str],
    buffers: Buffers,
    lower: str,
    rng: torch.Generator,
    runtime: Runtime,
    progress: Progress,
) -> Pathway:
    """Train the control point of the curve between two fixed ends, one t ~ U(0,1) a batch, from their midpoint.

    Args:
        first: θ at t = 0.
        last: θ at t = 1.
        batches: what an epoch reads.
        loss: of the logits of one batch at φ(t).
        config: the training.
        mask: names of the tensors that may move.
        buffers: where those of the training begin.
        lower: as in `minimise`.
        rng: draws t, orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        The curve.

    Raises:
        DivergedError: the training diverged.
    """
    control = midpoint(first, last)
    positions = uniform_positions(rng, runtime.device, config.epochs * batches.steps)
    trained = minimise(
        runtime,
        State(params=control, buffers=buffers),
        loss,
        batches,
        config,
        rng=rng,
        phase=Phase.CURVE,
        lower=lower,
        mask=mask,
        placement=Curve(original=first, end=last, positions=positions),
        progress=progress,
    )
    return Pathway(original=first, control=trained.params, end=last, mask=mask)


def ascent(penalty: Penalty, ceiling: float | None = None) -> Loss:
    """Return the paper's loss, CE(D_r) - β CE(D_f), with β from the batch's own answers (arXiv 2505.10859, eq. 2)."""

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return ascend_and_descend(logits, batch, penalty(logits.detach(), batch), ceiling=ceiling)

    return loss
