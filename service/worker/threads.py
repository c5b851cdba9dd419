"""How many threads a job computes with."""

import os

import psutil
import torch

LOOK_SECONDS = 0.5
"""How long the processors are watched."""


def use_threads(requested: int | None) -> int:
    """Set the number of CPU threads of this process and return it.

    Without a request it takes the cores that are idle now, at least one. Two threads on two cores of which another
    process has one wait for each other at every operation: measured here, up to 17 times slower than one thread.
    """
    threads = requested or _idle_cores()
    torch.set_num_threads(threads)
    return threads


def _idle_cores() -> int:
    available = len(os.sched_getaffinity(0))
    busy = sum(share > 50.0 for share in psutil.cpu_percent(interval=LOOK_SECONDS, percpu=True))
    return max(1, available - busy)
