"""Where a job computes."""

import torch


def compute_device() -> torch.device:
    """Return the device that computes: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
