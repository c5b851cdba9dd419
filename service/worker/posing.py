"""From a run's rows and samples to the problem that the unlearner gets, and what is kept from it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mcu_core import checkpoint, models
from mcu_core.errors import DataError
from mcu_core.heldout import split_heldout
from mcu_core.runtime import stream
from mcu_core.types import ImageData, Problem, SealedSamples
from service.domain.resolution import Resolution
from service.domain.run import WorkOrder
from service.worker.device import compute_device
from service.worker.samples import DecodedSamples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditedSamples:
    """Whose samples are whose: for the audit alone. What unlearns gets D_f in one piece.

    Each is int64 `[n]`, positions in `Problem.data`, ascending.
    """

    tickets: Tensor
    """The part of D_f that the tickets name."""
    canary_included: Tensor
    """The rest of D_f: canaries that the original was trained on."""
    canary_excluded: Tensor
    """Canaries of the same kind that no model was trained on; in no part of the problem."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosedRun:
    """What a run works on: the problem for what unlearns, the rest for the audit."""

    problem: Problem
    sealed: SealedSamples
    audited: AuditedSamples
    data: ImageData
    """With the labels of the manifest, those of D_v too."""

    @property
    def asked_for(self) -> Problem:
        """Return the problem as if there were no canaries: what is measured of a model that forgot all of D_f."""
        return replace(self.problem, forget=self.audited.tickets, data=self.data)


def pose(order: WorkOrder, resolution: Resolution, samples: DecodedSamples, base: bytes) -> PosedRun:
    """Return the unlearning problem of an order and, apart from it, the samples that only the audit may see.

    D_f is what the tickets name and the canaries that the run forgets, in one ascending order and in one type, so that
    whatever unlearns cannot treat the two differently.

    Where canaries have wrong labels, as large a share of D_v gets wrong labels as canaries have of D_f. What unlearns
    makes D_f look like D_v; a model that never saw a mislabelled sample is nearly always wrong about it, and against a
    clean D_v the tickets' samples would have to stay remembered to make up for that.

    Raises:
        CheckpointError, ArchitectureError: the base model is not the one of the specification or does not fit.
        DataError: rows to forget are not of the training split, or canaries for comparison are none.
    """
    spec = order.spec
    forget = samples.positions(resolution.unlearned)
    excluded = samples.positions(resolution.canary_excluded)
    if not np.isin(forget, samples.train).all() or not np.isin(excluded, samples.canary).all():
        raise DataError("the resolution names rows that are not of the split that it says")
    train = torch.from_numpy(samples.train)
    is_retain = torch.ones(len(samples.readable), dtype=torch.bool)
    is_retain[forget] = False
    heldout = split_heldout(samples.heldout_subjects, bytes.fromhex(order.split_key), spec.config.heldout)
    heldout_positions = torch.from_numpy(samples.heldout)
    validation = heldout_positions[heldout.validation]
    labels = samples.data.labels
    if spec.canaries is not None and spec.canaries.mislabelled:
        share = len(resolution.canary_included) / len(forget)
        labels = mislabel(labels, validation, share, classes=labels[train], rng=stream(spec.seed, "mislabel"))
    model = models.build(spec.architecture)
    problem = Problem(
        model=model,
        architecture=spec.architecture,
        original=checkpoint.load(base, model, expected_digest=spec.base_model_digest).to(compute_device()),
        data=replace(samples.data, labels=labels),
        forget=forget,
        retain=train[is_retain[train]],
        validation=validation,
        test=heldout_positions[heldout.test],
    )
    audited = AuditedSamples(
        tickets=samples.positions(resolution.forget),
        canary_included=samples.positions(resolution.canary_included),
        canary_excluded=excluded,
    )
    sealed = SealedSamples(rows=heldout_positions[heldout.sealed])
    return PosedRun(problem=problem, sealed=sealed, audited=audited, data=samples.data)


def mislabel(labels: Tensor, rows: Tensor, share: float, *, classes: Tensor, rng: torch.Generator) -> Tensor:
    """Return labels of which a share of some rows, drawn anew, is wrong.

    Args:
        labels: int64 `[N]`.
        rows: int64 `[n]`, positions in `labels`.
        share: of the rows, in [0, 1].
        classes: int64 `[m]`, labels that occur; a wrong one is uniform among the others of them.
        rng: draws rows and labels.
    """
    known = torch.from_numpy(np.unique(classes.numpy()))
    chosen = rows[torch.randperm(len(rows), generator=rng)[: round(share * len(rows))]]
    step = torch.randint(1, max(2, len(known)), (len(chosen),), generator=rng)
    place = torch.searchsorted(known, labels[chosen])
    wrong = labels.clone()
    wrong[chosen] = known[(place + step) % len(known)]
    return wrong
