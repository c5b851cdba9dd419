"""Leave-out references in an attempt: the registered family that audits, and the one that teaches.

The worker gets a family's name in its work order and everything else from the object store, checked against that name.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import nn

from mcu_core import checkpoint
from mcu_core.config import needs_teacher
from mcu_core.references import ReferenceFamily, assemble_family, teacher_of
from mcu_core.runtime import runtime_of
from mcu_core.types import Problem
from service.domain.references import (
    ReferencePlan,
    ReferencePurpose,
    ReferenceRecord,
    families_folder,
    folds_key,
    member_key,
    record_key,
    taint_key,
)
from service.domain.run import RunSpec, WorkOrder
from service.errors import DigestMismatchError, ObjectMissingError, PermanentError
from service.ports import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folds:
    """What the members of a family are trained on."""

    rows: NDArray[np.int64]
    """`[N]`, rows of the manifest, ascending."""
    folds: NDArray[np.int64]
    """`[N]`, which member never sees each."""

    def to_bytes(self) -> bytes:
        """Return the file: safetensors, so that equal folds have equal bytes."""
        return safetensors.numpy.save({"folds": self.folds, "rows": self.rows})


def load_auditors(
    order: WorkOrder, objects: ObjectStore, model: nn.Module, *, even_tainted: bool = False
) -> ReferenceFamily | None:
    """Return the family that audits an attempt; `None` where the work order names none.

    Args:
        order: names it in its specification.
        objects: the object store.
        model: the architecture.
        even_tainted: for an audit that is only repeated: the release that it led to has tainted the family.

    Raises:
        PermanentError: the family is gone, damaged, tainted, of another model or purpose, or the one that teaches.
        CheckpointError, ArchitectureError: a member is not the one that was registered, or does not fit.
    """
    spec = order.spec
    if spec.audit_family is None:
        return None
    if spec.audit_family == spec.teach_family:
        raise PermanentError("the references that audit must not be those that teach")
    return load_family(spec, spec.audit_family, ReferencePurpose.AUDIT, objects, model, even_tainted=even_tainted)


def with_teacher(order: WorkOrder, problem: Problem, objects: ObjectStore) -> Problem:
    """Return the problem with what its teachers answer, where the order's rung asks for any and names a family.

    Raises:
        PermanentError, CheckpointError, ArchitectureError: as `load_auditors`.
    """
    spec = order.spec
    if spec.teach_family is None or not needs_teacher(order.rung):
        return problem
    family = load_family(spec, spec.teach_family, ReferencePurpose.TEACH, objects, problem.model)
    runtime = runtime_of(problem, spec.config)
    return replace(problem, teacher=teacher_of([family], runtime, problem.forget, problem.validation))


def load_family(
    spec: RunSpec,
    name: str,
    purpose: ReferencePurpose,
    objects: ObjectStore,
    model: nn.Module,
    *,
    even_tainted: bool = False,
) -> ReferenceFamily:
    """Read a registered family.

    1. Its record has the digest that it is named by, and is of this lineage, manifest and architecture.
    2. Nobody whom it knows was forgotten, unless `even_tainted`.
    3. Folds and members have the digests of plan and record.

    Raises:
        ObjectMissingError: there is no such family (any more).
        PermanentError: it is tainted, or of another model or purpose.
        DigestMismatchError: the folds are not those of the plan.
        CheckpointError, ArchitectureError: a member is not the one of the record, or does not fit the model.
    """
    # 1. The record
    folder, record = _find(spec.lineage, name, objects)
    plan = record.plan
    expected = (purpose, spec.lineage, spec.manifest_digest, spec.architecture)
    if (plan.purpose, plan.lineage, plan.manifest_digest, plan.architecture) != expected:
        raise PermanentError("the references are of another model, manifest or purpose")
    # 2. Taint
    if not even_tainted and objects.head(taint_key(folder)) is not None:
        raise PermanentError("the references were trained on samples that are forgotten by now: build new ones")
    # 3. Rows and members
    folds = _folds(objects.read(folds_key(folder)), plan)
    members = [
        checkpoint.load(objects.read(member_key(folder, fold)), model, expected_digest=digest)
        for fold, digest in enumerate(record.weights)
    ]
    rows, dealt = (torch.from_numpy(part) for part in (folds.rows, folds.folds))
    return assemble_family(rows, plan.config, members, folds=dealt)


def _find(lineage: str, name: str, objects: ObjectStore) -> tuple[str, ReferenceRecord]:
    for key in objects.keys(families_folder(lineage)):
        folder = key.rpartition("/")[0]
        stored = objects.head(key) if key == record_key(folder) else None
        if stored is not None and stored.sha256 == name:
            return folder, ReferenceRecord.model_validate_json(objects.read(key))
    raise ObjectMissingError(f"the references {name} are gone: purged, or never registered")


def _folds(content: bytes, plan: ReferencePlan) -> Folds:
    if hashlib.sha256(content).hexdigest() != plan.folds_digest:
        raise DigestMismatchError("the folds of the references are not those of their plan")
    try:
        found = safetensors.numpy.load(content)
        folds = Folds(rows=found["rows"], folds=found["folds"])
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise DigestMismatchError("the file of the references' folds cannot be read") from error
    return folds
