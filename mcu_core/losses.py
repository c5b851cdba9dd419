"""Objectives: logits of one batch in, a scalar out. The forget rows of a batch are its first ones."""

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


def ascend_and_descend(logits: Tensor, batch: Batch, beta: Tensor | float) -> Tensor:
    """Return the loss that forgets and keeps at once.

    L = CE(D_r) - β w CE(D_f), each CE a mean over its own rows; w is the batch's `forget_weight`

    Args:
        logits: float32 `[N, K]`.
        batch: the first `batch.forget_count` rows are D_f's, the others D_r's; both non-empty.
        beta: weight of the ascent, a number or a scalar tensor without gradient.

    Returns:
        A scalar, in nats; unbounded below.

    Source: NegGrad+ in Kurmanji et al. (arXiv 2302.09880); equation 2 of arXiv 2505.10859. w is ours; see
        `data.MixedBatches`.
    """
    count = batch.forget_count
    forget = functional.cross_entropy(logits[:count], batch.labels[:count])
    retain = functional.cross_entropy(logits[count:], batch.labels[count:])
    return retain - beta * batch.forget_weight * forget
