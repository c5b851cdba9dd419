"""What the job of an attempt does, in place of a worker: the same files, with contents that the test chooses."""

import hashlib
from collections.abc import Callable

import numpy as np
from safetensors.numpy import save

from mcu_core.config import McuRung
from mcu_core.report import AuditReport, Measurements, ModelMeasurements
from service.domain.canonical import canonical_bytes
from service.domain.run import EXIT_CODES, FailureKind, Outcome, WorkOrder
from service.ports import ObjectStore
from tests.measurements import candidate_row, measurements, original_row, report_of

Attempt = Callable[[WorkOrder, ObjectStore], int]
"""Returns the job's exit code."""

TRACE_LEFT = candidate_row(auc=0.85, auc_p=1e-6)
NO_TRACE = candidate_row()
REMEMBERS = original_row()
REMEMBERS_NOTHING = original_row(auc=0.5, auc_p=1.0)


def candidate_bytes(order: WorkOrder) -> bytes:
    """Return the weights that this attempt comes up with."""
    bias = np.array([order.spec.sequence, order.epoch, order.rung_index], np.float32)
    return save({"layer.weight": np.ones((3, 4), np.float32), "layer.bias": bias})


def candidate_digest(order: WorkOrder) -> str:
    """Return the digest of those weights."""
    return hashlib.sha256(candidate_bytes(order)).hexdigest()


def measured(order: WorkOrder, original: ModelMeasurements, candidate: ModelMeasurements) -> Measurements:
    """Return what a worker measures of this order's models."""
    return measurements(
        original.model_copy(update={"digest": order.spec.base_model_digest}),
        candidate.model_copy(update={"digest": candidate_digest(order)}),
        forget=order.spec.forget_count,
    )


def finish(order: WorkOrder, objects: ObjectStore, report: AuditReport) -> int:
    """Write everything that a judged attempt leaves behind."""
    if isinstance(order.rung, McuRung):
        objects.create(f"{order.prefix}/pathway.safetensors", b"the original model is part of this")
    candidate = objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
    written = objects.create(f"{order.prefix}/report.json", canonical_bytes(report.model_dump(mode="json")))
    objects.overwrite(f"{order.prefix}/progress.json", b"{}")
    outcome = Outcome(candidate_digest=candidate.sha256, report_digest=written.sha256)
    objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
    return 0


def audited(candidate: ModelMeasurements, original: ModelMeasurements = REMEMBERS) -> Attempt:
    """Return an attempt whose models measure like these."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        return finish(order, objects, report_of(order, measured(order, original, candidate)))

    return attempt


accept = audited(NO_TRACE)
reject = audited(TRACE_LEFT)
vacuous = audited(NO_TRACE, REMEMBERS_NOTHING)
invalid = audited(NO_TRACE.model_copy(update={"tails": ()}))


def fails(kind: FailureKind, message: str = "said so") -> Attempt:
    """Return an attempt that fails and says how."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        objects.create(f"{order.prefix}/outcome.json", Outcome(failure=kind, message=message).to_bytes())
        return EXIT_CODES[kind]

    return attempt


def dies(order: WorkOrder, objects: ObjectStore) -> int:
    """Leave a candidate and be killed before the outcome."""
    objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
    return -9


def exits(code: int) -> Attempt:
    """Return an attempt that ends without an outcome."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        return code

    return attempt


def misreports(change: Callable[[AuditReport], AuditReport], candidate: ModelMeasurements = NO_TRACE) -> Attempt:
    """Return an attempt whose report was changed before it was written."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        return finish(order, objects, change(report_of(order, measured(order, REMEMBERS, candidate))))

    return attempt
