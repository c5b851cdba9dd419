"""Objectives: logits of one batch in, a scalar out. The forget rows of a batch are its first ones."""

import torch
from torch import Tensor
from torch.nn import functional

from mcu_core.types import Batch


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean cross-entropy over all rows.

    CE = mean_i( logsumexp(z_i) - z_i[y_i] )

    Args:
        logits: float32 `[N, K]`.
        batch: its labels, int64 `[N]`.

    Returns:
        A scalar, in nats.
    """
    return functional.cross_entropy(logits, batch.labels)


def ascend_and_descend(logits: Tensor, batch: Batch, beta: Tensor | float, *, ceiling: float | None = None) -> Tensor:
    """Return the loss that forgets and keeps at once.

    L = CE(D_r) - β w mean_i min(CE_i, c) over D_f; CE(D_r) is a mean over its own rows, w the batch's `forget_weight`

    Args:
        logits: float32 `[N, K]`.
        batch: the first `batch.forget_count` rows are D_f's, the others D_r's; both non-empty.
        beta: weight of the ascent, a number or a scalar tensor without gradient.
        ceiling: c, in nats; a sample beyond it is forgotten enough and no longer pushed. `None` is infinity.

    Returns:
        A scalar, in nats; unbounded below without a ceiling.

    Source: NegGrad+ in Kurmanji et al. (arXiv 2302.09880); equation 2 of arXiv 2505.10859. w and c are
        ours; see `data.MixedBatches`.
    """
    count = batch.forget_count
    if ceiling is None:
        forget = functional.cross_entropy(logits[:count], batch.labels[:count])
    else:
        each = functional.cross_entropy(logits[:count], batch.labels[:count], reduction="none")
        forget = each.clamp(max=ceiling).mean()
    retain = functional.cross_entropy(logits[count:], batch.labels[count:])
    return retain - beta * batch.forget_weight * forget


def label_logit(logits: Tensor, labels: Tensor) -> Tensor:
    """Return φ, the logit of the label's probability: higher = more like a member.

    φ = z_y - logsumexp(z_i, i ≠ y) = log(p_y / (1 - p_y)), without the cancellation of the second form

    Args:
        logits: `[N, K]`, K ≥ 2.
        labels: int64 `[N]`.

    Returns:
        `[N]`, differentiable, of the dtype of the logits.

    Source: Carlini et al. (LiRA), arXiv 2112.03570, section 4.
    """
    index = labels.unsqueeze(1)
    return logits.gather(1, index).squeeze(1) - logits.scatter(1, index, -torch.inf).logsumexp(dim=1)


def probability_logit(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return φ of answers that are given as probabilities; see `label_logit`.

    φ = log(p_y / (1 - p_y)), with p_y kept 1e-6 away from 0 and 1

    Args:
        probabilities: `[N, K]`.
        labels: int64 `[N]`.

    Returns:
        float64 `[N]`.
    """
    return probabilities.double().gather(1, labels.unsqueeze(1)).squeeze(1).logit(eps=1e-6)


def distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return how far each of a model's answers is from a teacher's.

    KL(q_T ‖ p_T) T², with p_T ∝ p^(1/T); T² keeps the gradient's size independent of T

    Args:
        logits: float32 `[N, K]`, of the model.
        teacher: float32 `[N, K]`, probabilities.
        temperature: T > 0.

    Returns:
        `[N]`, in nats, not negative.

    Source: Hinton et al., arXiv 1503.02531, section 2.
    """
    # log q_T = log_softmax(log q / T): probabilities stand for logits up to a constant of each row.
    softened = functional.log_softmax(teacher.clamp_min(torch.finfo(torch.float32).tiny).log() / temperature, dim=1)
    answers = functional.log_softmax(logits / temperature, dim=1)
    return functional.kl_div(answers, softened, reduction="none", log_target=True).sum(dim=1) * temperature**2
