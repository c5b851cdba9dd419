"""Which samples an audit scores, in which group, and under which numbers."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcu_core.data import subsample
from mcu_core.errors import DataError
from mcu_core.images import SealedSamples
from mcu_core.report.evidence import Group
from mcu_core.report.plan import AuditPlan
from mcu_core.runtime import stream
from mcu_core.statistics.scores import Integers
from mcu_core.types import Problem, check_labels

MAX_FORGOTTEN_BEFORE = 2_000
"""Samples of earlier deletions that are looked at again: an AUC of .5 is then known to .015."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CanaryRows:
    """Canaries by the secret coin that decided who was trained on."""

    included: Tensor
    """int64 `[n]`: the original was trained on them, and this run forgets them as a part of D_f."""
    excluded: Tensor
    """int64 `[m]`: no model was trained on them."""


def draw_rows(
    problem: Problem,
    sealed: SealedSamples,
    plan: AuditPlan,
    *,
    canaries: CanaryRows | None,
    forgotten_before: Tensor | None,
) -> dict[Group, Tensor]:
    """Return the samples of each group, int64 positions in a seeded random order.

    Rows in the order of the manifest would name their samples to whoever has the manifest.

    Args:
        problem: its D_f holds the tickets' samples and the canaries that this run forgets.
        sealed: C.
        plan: seed and size of what is drawn.
        canaries: of this run.
        forgotten_before: int64 `[k]`, what earlier releases forgot.

    Returns:
        One entry a group that has samples.

    Raises:
        DataError: D_f, C_cal or C_eval is empty, the sealed samples are of other data than the problem, or a label is
            none of the model's.
    """
    labels = sealed.open().labels
    if not torch.equal(labels, problem.data.labels) or sealed.open().shape != problem.data.shape:
        raise DataError("the sealed samples are not of the data that the run has read")
    forget = problem.forget
    if canaries is not None:
        forget = forget[~torch.isin(forget, canaries.included)]
    rows = {
        Group.FORGET: forget,
        Group.RETAIN: subsample(problem.retain, plan.retain_images, stream(plan.seed, "audit retain")),
        Group.TEST: problem.test,
        Group.CALIBRATION: sealed.calibration,
        Group.EVALUATION: sealed.evaluation,
    }
    for group in (Group.FORGET, Group.CALIBRATION, Group.EVALUATION):
        if not len(rows[group]):
            raise DataError(f"the group {group.value} has no sample: the audit has nothing to compare")
    if canaries is not None:
        rows |= {Group.CANARY_INCLUDED: canaries.included, Group.CANARY_EXCLUDED: canaries.excluded}
    if forgotten_before is not None:
        rng = stream(plan.seed, "audit forgotten before")
        rows[Group.FORGOTTEN_BEFORE] = subsample(forgotten_before, MAX_FORGOTTEN_BEFORE, rng)
    rng = stream(plan.seed, "audit order")
    drawn = {group: part[torch.randperm(len(part), generator=rng)] for group, part in rows.items() if len(part)}
    check_labels(labels[torch.cat(list(drawn.values()))], problem.architecture.classes)
    return drawn


def shared_rows(problem: Problem, sealed: SealedSamples, canaries: CanaryRows | None) -> int:
    """Return how many rows stand in more than one of D_f, D_r, D_v, D_t, C_cal, C_eval and the canaries.

    Canaries that this run forgets are part of the problem's D_f: they count as canaries, not as D_f.
    """
    parts = [problem.retain, problem.validation, problem.test, sealed.calibration, sealed.evaluation]
    if canaries is None:
        parts.append(problem.forget)
    else:
        parts += [problem.forget[~torch.isin(problem.forget, canaries.included)], canaries.included, canaries.excluded]
    return int((torch.bincount(torch.cat([torch.unique(part) for part in parts])) > 1).sum())


def anonymous(subjects: Tensor, seed: int) -> Integers:
    """Renumber subjects at random: equal stays equal, and a number means nothing elsewhere.

    Args:
        subjects: int64 `[N]`.
        seed: of the numbers.

    Returns:
        int64 `[N]` in `[0, number of subjects)`.
    """
    _, codes = np.unique(subjects.numpy(), return_inverse=True)
    numbers = torch.randperm(int(codes.max(initial=-1)) + 1, generator=stream(seed, "audit subjects"))
    renumbered: Integers = numbers.numpy()[codes].astype(np.int64)
    return renumbered
