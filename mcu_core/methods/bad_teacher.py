"""BadTeacher: learn ignorance of what goes from a network that knows nothing."""

import torch
from torch import Tensor

from mcu_core.config import BadTeacherConfig
from mcu_core.data import MixedBatches, subsample
from mcu_core.inference import reestimate_batchnorm
from mcu_core.losses import distillation
from mcu_core.models import initialise
from mcu_core.runtime import Runtime
from mcu_core.training import Loss, minimise
from mcu_core.types import Batch, Phase, Problem, Progress, State, ignore_progress

BATCHNORM_IMAGES = 512
"""Of D_r, from which the statistics of the network that knows nothing are estimated."""


def bad_teacher(
    problem: Problem,
    config: BadTeacherConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by distilling two teachers: the original on D_r, a random network on D_f.

    L = (1/B) [ Σ_{x ∈ D_r} KL(p_o(x) ‖ p(x)) + w Σ_{x ∈ D_f} KL(p_random(x) ‖ p(x)) ] over mixed batches, from θ_o; w
    is the batch's `forget_weight`

    Args:
        problem: D_f, D_r and the original. Its labels are not read.
        config: temperature, share of D_r and the training.
        rng: initialises the random network, draws the share of D_r, orders the batches.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        DivergedError: the training diverged.

    Source: Chundawat et al., arXiv 2205.08096. Deviations: the numbers of forget and retain rows are the
        same in every batch; the random network has BatchNorm statistics of D_r, because with initial ones PreResNet-110
        gives every sample the same class with probability 1 (measured; .16 and six classes with statistics of D_r).
    """
    share = max(1, round(config.retain_share * len(problem.retain)))
    random = initialise(problem.architecture, int(torch.randint(2**62, (), generator=rng))).to(runtime.device)
    random = reestimate_batchnorm(runtime, random, subsample(problem.retain, BATCHNORM_IMAGES, rng))
    batches = MixedBatches(
        reader=runtime.reader,
        forget=problem.forget,
        retain=subsample(problem.retain, share, rng),
        size=config.train.batch_size,
    )
    return minimise(
        runtime,
        problem.original,
        two_teachers(problem.original, random, config.temperature, batches, runtime=runtime),
        batches,
        config.train,
        rng=rng,
        phase=Phase.PRE_UNLEARN,
        lower="pre_unlearning.train.learning_rate",
        progress=progress,
    )


def two_teachers(
    competent: State, incompetent: State, temperature: float, batches: MixedBatches, *, runtime: Runtime
) -> Loss:
    """Return the loss over mixed batches that follows one teacher on D_r and another on D_f.

    Args:
        competent: answers for the retain rows.
        incompetent: answers for the forget rows.
        temperature: of every divergence.
        batches: what the loss is of: each of their rows weighs the same.
        runtime: the network of both, samples, device and arithmetic.

    Returns:
        The loss; never negative.
    """
    network = runtime.network()
    forget_rows, retain_rows = batches.counts
    forget_share = forget_rows / (forget_rows + retain_rows)

    def answers(teacher: State, images: Tensor, labels: Tensor) -> Tensor:
        batch = Batch(images=images, labels=labels)
        with torch.no_grad():
            return runtime.forward(network, teacher.params, teacher.buffers, batch).softmax(dim=1)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        count = batch.forget_count
        forget = answers(incompetent, batch.images[:count], batch.labels[:count])
        retain = answers(competent, batch.images[count:], batch.labels[count:])
        gone = distillation(logits[:count], forget, temperature).mean()
        kept = distillation(logits[count:], retain, temperature).mean()
        return (1.0 - forget_share) * kept + batch.forget_weight * forget_share * gone

    return loss
