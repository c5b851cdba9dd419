"""What an audit states beside its scores: where it ran, what moved, how large the parts are."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor

from mcu_core.images import SealedSamples
from mcu_core.params import changed_count, element_count, norm, subtract
from mcu_core.report import Counts, Environment, WeightChange
from mcu_core.report.evidence import Group
from mcu_core.runtime import Runtime, processor_name
from mcu_core.types import Params, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """Samples of the train split that this run neither forgets nor keeps."""

    forgotten_before: int = 0
    held: int = 0


NOTHING_EXCLUDED = Excluded()


def weight_change(original: Params, candidate: Params) -> WeightChange:
    """Return how far the parameters moved; buffers do not count."""
    moved = {name: tensor.to(original[name].device) for name, tensor in candidate.items()}
    return WeightChange(
        changed_elements=changed_count(original, moved),
        total_elements=element_count(original),
        relative_l2=norm(subtract(moved, original)) / max(norm(original), np.finfo(np.float64).tiny),
    )


def environment(runtime: Runtime) -> Environment:
    """Return what computes: versions, device, processor, threads and the arithmetic of training."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "safetensors")
    device = runtime.device
    return Environment(
        versions={"python": platform.python_version(), **{package: version(package) for package in packages}},
        device=str(device),
        processor=processor_name(device),
        threads=torch.get_num_threads(),
        precision=str(runtime.dtype).removeprefix("torch."),
    )


def count_parts(problem: Problem, sealed: SealedSamples, rows: Mapping[Group, Tensor], excluded: Excluded) -> Counts:
    """Return the sizes of the parts of the data; canaries count among the training samples and not among D_f's."""
    labels = problem.data.labels
    of_forget = torch.isin(labels[sealed.evaluation], labels[rows[Group.FORGET]])
    return Counts(
        train=len(problem.forget) + len(problem.retain) + excluded.forgotten_before + excluded.held,
        forget=len(rows[Group.FORGET]),
        retain=len(problem.retain),
        forgotten_before=excluded.forgotten_before,
        held=excluded.held,
        validation=len(problem.validation),
        test=len(problem.test),
        sealed=len(sealed.calibration) + len(sealed.evaluation),
        sealed_matched=int(of_forget.sum()),
    )
