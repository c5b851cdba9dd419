"""The signal that tells members from non-members, from logits."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mcu_core import losses


def label_logit(logits: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Return φ of every sample in float64; see `losses.label_logit`."""
    score: NDArray[np.float64] = losses.label_logit(logits.double(), labels).numpy()
    return score
