"""Which samples a model answers rightly, and how confident it is: logits to NumPy."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def right_answers(logits: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    """Return whether each largest output is the label's.

    Args:
        logits: `[N, K]`.
        labels: int64 `[N]`.

    Returns:
        bool `[N]`.
    """
    answers: NDArray[np.bool_] = (logits.argmax(dim=1) == labels).numpy()
    return answers


def label_probability(logits: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Return p_y = softmax(z)_y in float64.

    Args:
        logits: `[N, K]`.
        labels: int64 `[N]`.

    Returns:
        float64 `[N]` in [0, 1].
    """
    probability: NDArray[np.float64] = (
        torch.softmax(logits.double(), dim=1).gather(1, labels.unsqueeze(1)).squeeze(1).numpy()
    )
    return probability
