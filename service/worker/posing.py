"""From a run's rows and samples to the problem that the unlearner gets, and what is kept from it for the audit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcu_core import checkpoint, models
from mcu_core.audit.facts import Excluded
from mcu_core.audit.rows import MAX_FORGOTTEN_BEFORE, CanaryRows
from mcu_core.data import subsample
from mcu_core.errors import DataError
from mcu_core.heldout import split_heldout
from mcu_core.images import GuardedImages, SealedSamples, seal
from mcu_core.runtime import stream
from mcu_core.types import Problem
from service.domain.resolution import Resolution
from service.domain.run import WorkOrder
from service.worker.device import compute_device
from service.worker.samples import DecodedSamples, decode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditedSamples:
    """What the audit reads and the unlearning does not, and whose samples are whose."""

    sealed: SealedSamples
    canaries: CanaryRows | None
    """D_f's canaries, which what unlearns cannot tell from the tickets' samples, and those that nobody trained on."""
    forgotten_before: Tensor | None
    """int64 `[k]`, positions of a sample of what earlier releases forgot."""
    subjects: Tensor
    """int64 `[N]`, equal for the samples of one person."""
    excluded: Excluded


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosedRun:
    """What a run works on: the problem for what unlearns, the rest for the audit."""

    problem: Problem
    audited: AuditedSamples
    truthful: GuardedImages
    """The same samples with the labels of the manifest, those of D_v too."""

    @property
    def labelled(self) -> Problem:
        """Return the problem with the labels of the manifest: what is scored."""
        return replace(self.problem, data=self.truthful)

    @property
    def asked_for(self) -> Problem:
        """Return the problem as if there were no canaries: what a model that forgot all of D_f is to align with."""
        canaries = self.audited.canaries
        if canaries is None:
            return self.labelled
        tickets = self.problem.forget[~torch.isin(self.problem.forget, canaries.included)]
        return replace(self.labelled, forget=tickets)


def forgotten_to_look_at_again(order: WorkOrder, resolution: Resolution) -> tuple[int, ...]:
    """Return the rows of earlier deletions that this audit reads once more: a seeded sample, ascending.

    They are erased from what jobs keep of decoded images as soon as the run has ended, like everything forgotten.
    """
    rows = torch.tensor(resolution.forgotten_before, dtype=torch.int64)
    chosen = subsample(rows, MAX_FORGOTTEN_BEFORE, stream(order.plan.seed, "audit forgotten before"))
    return tuple(sorted(chosen.tolist()))


def read_and_pose(
    order: WorkOrder,
    resolution: Resolution,
    manifest: Path,
    base: bytes,
    *,
    folder: Path,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PosedRun:
    """Decode the samples that a run and its audit may read, and pose its problem: `decode`, then `pose`.

    Args:
        order: with the plan.
        resolution: of its run.
        manifest: the Parquet file.
        base: weights of the model that forgets.
        folder: keeps what was decoded.
        threads: that decode at once.
        progress: called with (rows done, rows in all).

    Raises:
        CheckpointError, ArchitectureError, DataError, ObjectStoreUnavailableError: as `decode` and `pose`.
    """
    again = forgotten_to_look_at_again(order, resolution)
    samples = decode(
        manifest,
        order.spec.architecture,
        folder=folder,
        left_out=(*set(resolution.forgotten_before).difference(again), *resolution.held),
        threads=threads,
        progress=progress,
    )
    return pose(order, resolution, samples, base)


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
    before = samples.positions(forgotten_to_look_at_again(order, resolution))
    if not np.isin(forget, samples.train).all() or not np.isin(excluded, samples.canary).all():
        raise DataError("the resolution names rows that are not of the split that it says")
    train = torch.from_numpy(samples.train)
    is_retain = torch.ones(len(samples.readable), dtype=torch.bool)
    is_retain[forget] = False
    is_retain[before] = False
    heldout = split_heldout(samples.heldout_subjects, bytes.fromhex(order.split_key), spec.config.heldout)
    heldout_positions = torch.from_numpy(samples.heldout)
    validation = heldout_positions[heldout.validation]
    labels = samples.data.labels
    if spec.canaries is not None and spec.canaries.mislabelled:
        share = len(resolution.canary_included) / len(forget)
        labels = mislabel(labels, validation, share, classes=labels[train], rng=stream(spec.seed, "mislabel"))
    sealing = partial(
        seal,
        calibration=heldout_positions[heldout.calibration],
        evaluation=heldout_positions[heldout.evaluation],
        others=torch.cat([torch.from_numpy(samples.canary), before]),
    )
    truthful, sealed = sealing(samples.data)
    readable, _ = sealing(replace(samples.data, labels=labels))
    model = models.build(spec.architecture)
    problem = Problem(
        model=model,
        architecture=spec.architecture,
        original=checkpoint.load(base, model, expected_digest=spec.base_model_digest).to(compute_device()),
        data=readable,
        forget=forget,
        retain=train[is_retain[train]],
        validation=validation,
        test=heldout_positions[heldout.test],
    )
    audited = AuditedSamples(
        sealed=sealed,
        canaries=_canaries(order, samples, resolution),
        forgotten_before=before if len(before) else None,
        subjects=torch.from_numpy(samples.subjects),
        excluded=Excluded(forgotten_before=len(resolution.forgotten_before), held=len(resolution.held)),
    )
    return PosedRun(problem=problem, audited=audited, truthful=truthful)


def _canaries(order: WorkOrder, samples: DecodedSamples, resolution: Resolution) -> CanaryRows | None:
    if order.plan.canaries is None:
        return None
    return CanaryRows(
        included=samples.positions(resolution.canary_included), excluded=samples.positions(resolution.canary_excluded)
    )


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
