"""What a model's outputs say of each sample: signals of membership, higher = more like a member."""

import torch
from torch import Tensor

from mcu_core.losses import label_logit

SIGNALS = ("phi", "confidence", "loss", "entropy", "modified_entropy")
"""Columns of `signals_of`, named as in `ModelScores`."""


def signals_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return all signals of each sample; a row depends on nothing but its own logits and label.

    φ = z_y - logsumexp(z_i, i ≠ y);  p_y;  log p_y;  Σ p_i log p_i;  (1 - p_y) log p_y + Σ_{i≠y} p_i log(1 - p_i)

    Args:
        logits: float `[N, K]`, K ≥ 2, finite.
        labels: int64 `[N]`, on the same device.

    Returns:
        float64 `[N, 5]`, finite, columns in the order of `SIGNALS`.

    Source: Carlini et al., arXiv 2112.03570, section 4 (φ); Song & Mittal, "Systematic Evaluation of Privacy Risks of
        Machine Learning Models", arXiv 2003.10595, equation 8 (modified entropy), whose sign is turned here, as the
        entropy's and the loss's are.
    """
    log_p = logits.double().log_softmax(dim=1)
    p = log_p.exp()
    own = labels.unsqueeze(1)
    log_own = log_p.gather(1, own).squeeze(1)
    # Of the label's own class the sum has no term.
    others = (p * _log_complement(log_p)).scatter(1, own, 0.0).sum(dim=1)
    columns = {
        "phi": label_logit(logits.double(), labels),
        "confidence": log_own.exp(),
        "loss": log_own,
        "entropy": (p * log_p).sum(dim=1),
        "modified_entropy": -log_own.expm1() * log_own + others,
    }
    return torch.stack([columns[name] for name in SIGNALS], dim=1)


def _log_complement(log_p: Tensor) -> Tensor:
    """Return log(1 - p_i), float64 `[N, K]`, finite even where p_i rounds to 1.

    The largest probability's complement is the sum of the others: log(1 - p_i) = logsumexp(log p_j, j ≠ i). All others
    are at most ½, where log1p loses nothing.
    """
    top = log_p.argmax(dim=1, keepdim=True)
    complement = torch.log1p(-log_p.exp().clamp(max=0.5))
    return complement.scatter(1, top, log_p.scatter(1, top, -torch.inf).logsumexp(dim=1, keepdim=True))
