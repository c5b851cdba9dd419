"""SCRUB: a student that obeys the original on what stays and disobeys it on what goes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mcu_core.config import Augmentation, ScrubConfig
from mcu_core.data import Batches, PlainBatches
from mcu_core.losses import cross_entropy, distillation
from mcu_core.runtime import Runtime
from mcu_core.training import Loss, minimise
from mcu_core.types import Batch, Phase, Problem, Progress, ProgressUpdate, State, ignore_progress


def scrub(
    problem: Problem,
    config: ScrubConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by ascending from the original's answers on D_f, in turns with descending towards them on D_r.

    max KL(p_o ‖ p)(D_f), then min α KL(p_o ‖ p)(D_r) + γ CE(D_r), from θ_o: both for `ascent_epochs`, then the second
    alone. p_o are the answers of θ_o in eval mode; the student trains in train mode, and the difference of the two
    modes (or the first descent) is what moves it off the point where the divergence has no gradient.

    Args:
        problem: D_f, D_r and the original.
        config: α, γ, temperature, number of ascents and the training.
        rng: orders the batches, of D_f and of D_r apart.
        runtime: network, samples, device and arithmetic.
        progress: told at every step.

    Returns:
        θ_p. Its BatchNorm statistics contain D_f and must be estimated anew.

    Raises:
        DivergedError: the ascent, which nothing bounds, got out of hand.

    Source: Kurmanji et al., arXiv 2302.09880. Deviation: momentum starts anew when the
        ascents end, so that none of them works on in the epochs that repair. Their rewinding (SCRUB+R) is left to the
        pathway, which chooses among models of the same kind.
    """
    size = config.train.batch_size
    retain = PlainBatches(reader=runtime.reader, rows=problem.retain, size=size)
    forget = PlainBatches(reader=runtime.reader, rows=problem.forget, size=config.forget_batch_size)
    loss = disobedience(problem, config, runtime)
    done, state = 0, problem.original
    parts: tuple[tuple[int, Batches], ...] = (
        (config.ascent_epochs, AscentsFirst(forget=forget, retain=retain)),
        (config.train.epochs - config.ascent_epochs, retain),
    )
    for epochs, batches in parts:
        if not epochs:
            continue
        state = minimise(
            runtime,
            state,
            loss,
            batches,
            config.train.model_copy(update={"epochs": epochs}),
            rng=rng,
            phase=Phase.PRE_UNLEARN,
            lower="pre_unlearning.train.learning_rate or pre_unlearning.ascent_epochs",
            progress=_from_epoch(done, config.train.epochs, progress),
        )
        done += epochs
    return state


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AscentsFirst:
    """All of D_f, in batches of its own that consist of forget rows, and then all of D_r."""

    forget: PlainBatches
    retain: PlainBatches

    @property
    def steps(self) -> int:
        """Return the batches of both."""
        return self.forget.steps + self.retain.steps

    def draw(self, rng: torch.Generator, augmentation: Augmentation = Augmentation.NONE) -> Iterator[Batch]:
        """Yield one epoch."""
        for batch in self.forget.draw(rng, augmentation):
            yield replace(batch, forget_count=len(batch.labels))
        yield from self.retain.draw(rng, augmentation)


def disobedience(problem: Problem, config: ScrubConfig, runtime: Runtime) -> Loss:
    """Return the loss of both turns: -KL on a batch of forget rows, α KL + γ CE on one without any.

    Args:
        problem: the original, which teaches.
        config: α, γ and the temperature.
        runtime: network, samples, device and arithmetic.

    Returns:
        The loss; unbounded below on forget rows.
    """
    network = runtime.network()

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        with torch.no_grad():
            teacher = runtime.forward(network, problem.original.params, problem.original.buffers, batch).softmax(dim=1)
        divergence = distillation(logits, teacher, config.temperature).mean()
        if batch.forget_count:
            return -divergence
        return config.alpha * divergence + config.gamma * cross_entropy(logits, batch)

    return loss


def _from_epoch(first: int, epochs: int, progress: Progress) -> Progress:
    """Return a progress that counts a later part of a training on from its first epoch."""

    def shifted(update: ProgressUpdate, /) -> None:
        progress(replace(update, epoch=first + update.epoch, epochs=epochs))

    return shifted
