"""SSD: dampen the synapses that matter to what goes and little to the rest. Nothing is trained."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import grad, vmap

from mcu_core.config import SsdConfig
from mcu_core.data import subsample
from mcu_core.errors import ConfigurationError, NoEffectError
from mcu_core.inference import Tick
from mcu_core.losses import cross_entropy
from mcu_core.params import changed_count, element_count
from mcu_core.runtime import Runtime
from mcu_core.types import Batch, Params, Phase, Problem, Progress, ProgressUpdate, State, ignore_progress

GRADIENT_ELEMENTS = 2**26
"""Numbers that the gradients of one batch, one gradient a sample, may hold: 256 MiB."""
LEAST_AT_ONCE = 8
"""Where fewer gradients than this fit, the network is so large that one sample after the other is no slower."""


def ssd(
    problem: Problem,
    config: SsdConfig,
    rng: torch.Generator,
    *,
    runtime: Runtime,
    progress: Progress = ignore_progress,
) -> State:
    """Unlearn by shrinking the elements of θ_o whose importance to D_f stands out.

    θ_i ← min(λ I_D,i / I_f,i, 1) θ_i where I_f,i > α I_D,i; I is the diagonal of the Fisher information, D = D_f ∪ D_r

    I_D = (n_f I_f + n_r I_r) / n reads every sample once, and shows that I_f / I_D < n / n_f.

    Args:
        problem: D_f, D_r and the original.
        config: α, λ and how many images of D_r are read.
        rng: draws them.
        runtime: network, samples, device; float32 whatever its arithmetic.
        progress: told after every batch.

    Returns:
        θ_p with the original's buffers, whose BatchNorm statistics must be estimated anew.

    Raises:
        ConfigurationError: α ≥ n / n_f, which no element can exceed.
        NoEffectError: no element is dampened.

    Source: Foster et al., arXiv 2308.07707. I_r of a sample of D_r is offered beyond the paper.
    """
    share = len(problem.forget) / (len(problem.forget) + len(problem.retain))
    if config.alpha * share >= 1.0:
        raise ConfigurationError(
            f"pre_unlearning.alpha {config.alpha:g} can never be exceeded where {share:.2%} of the samples are to be "
            f"forgotten: lower it below {1.0 / share:.3g}"
        )
    chunked = one_gradient_a_sample(runtime, problem.original.params)
    parts = problem.forget, subsample(problem.retain, config.retain_images or len(problem.retain), rng)
    steps = sum(chunked.chunk_count(rows) for rows in parts)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(ProgressUpdate(phase=Phase.PRE_UNLEARN, epoch=0, epochs=1, step=done, steps=steps))

    forget, retain = (fisher_diagonal(chunked, problem.original, rows, tick=tick) for rows in parts)
    everything = {name: tensor.lerp(forget[name], share) for name, tensor in retain.items()}
    params = dampen(problem.original.params, forget, everything, alpha=config.alpha, strength=config.strength)
    if not changed_count(params, problem.original.params):
        raise NoEffectError(
            f"none of {element_count(params)} elements matters to D_f {config.alpha:g} times (alpha) and "
            f"{config.strength:g} times (strength) as much as to all samples; lower these settings of pre_unlearning"
        )
    return State(params=params, buffers=problem.original.buffers)


def one_gradient_a_sample(runtime: Runtime, params: Params) -> Runtime:
    """Return the runtime in float32 with batches so small that a gradient for each of their samples fits in memory."""
    fitting = min(runtime.evaluation_batch, GRADIENT_ELEMENTS // element_count(params))
    return replace(runtime.in_float32(), evaluation_batch=fitting if fitting >= LEAST_AT_ONCE else 1)


def fisher_diagonal(runtime: Runtime, state: State, rows: Tensor, *, tick: Tick = lambda: None) -> Params:
    """Return the diagonal of the empirical Fisher information, in eval mode.

    I = (1/N) Σ_i (∇ log p_θ(y_i | x_i))², squared element by element

    Every sample has a gradient of its own. Squaring the gradient of a batch instead, as is often done, is cheaper, but
    lets the gradients of different samples cancel, and what it gives depends on the size of the batch. The price on one
    core: 11 to 12 ms a sample for PreResNet-20 at 32 pixels one by one and 6 ms together, against 3 ms for the gradient
    of a whole batch.

    Args:
        runtime: network, samples, device, and how many gradients are held at once.
        state: θ and its buffers.
        rows: int64 `[N]`, not empty.
        tick: called after each batch.

    Returns:
        One tensor by parameter, nowhere negative.

    Source: arXiv 2308.07707, with the labels of the data.
    """
    network = runtime.network()

    def loss(point: Params, image: Tensor, label: Tensor) -> Tensor:
        alone = Batch(images=image.unsqueeze(0), labels=label.unsqueeze(0))
        return cross_entropy(runtime.forward(network, point, state.buffers, alone), alone)

    # One sample needs no vmap, which some layers support only slowly and with a warning.
    gradients = vmap(grad(loss), in_dims=(None, 0, 0)) if runtime.evaluation_batch > 1 else _one_by_one(loss)
    point = {name: tensor.detach() for name, tensor in state.params.items()}
    total = {name: torch.zeros_like(tensor) for name, tensor in point.items()}
    for batch in runtime.chunks(rows):
        for name, gradient in gradients(point, batch.images, batch.labels).items():
            total[name] += gradient.square().sum(dim=0)
        tick()
    return {name: summed / len(rows) for name, summed in total.items()}


def _one_by_one(loss: Callable[[Params, Tensor, Tensor], Tensor]) -> Callable[[Params, Tensor, Tensor], Params]:
    def gradients(point: Params, images: Tensor, labels: Tensor) -> Params:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in point.items()}
        each = torch.autograd.grad(loss(leaves, images[0], labels[0]), list(leaves.values()))
        return {name: gradient.unsqueeze(0) for name, gradient in zip(leaves, each, strict=True)}

    return gradients


def dampen(params: Params, forget: Params, everything: Params, *, alpha: float, strength: float) -> Params:
    """Shrink the elements that stand out, each the more the further it does; the others stay bit for bit.

    Args:
        params: θ.
        forget: I_f by tensor.
        everything: I_D by tensor, positive wherever I_f is.
        alpha: α, how many times I_D an importance must exceed.
        strength: λ.

    Returns:
        New parameters, nowhere larger in magnitude.

    Source: arXiv 2308.07707.
    """
    return {
        name: torch.where(
            forget[name] > alpha * everything[name],
            (strength * everything[name] / forget[name]).clamp(max=1.0) * tensor,
            tensor,
        )
        for name, tensor in params.items()
    }
