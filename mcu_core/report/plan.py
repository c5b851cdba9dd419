"""What an audit will do, fixed and signed before anything is unlearned."""

import hashlib
from enum import StrEnum
from typing import Annotated, Literal

import rfc8785
from pydantic import Field

from mcu_core.report.parts import Digest, Part


class Signal(StrEnum):
    """Scores of one sample; higher is more like a member."""

    PHI = "phi"
    """z_y - logsumexp of the other logits: the primary signal where no references exist."""
    CONFIDENCE = "confidence"
    """p_y."""
    LOSS = "loss"
    """-CE, so that higher is more like a member."""
    ENTROPY = "entropy"
    """Minus the entropy of all probabilities."""
    MODIFIED_ENTROPY = "modified_entropy"
    """Minus the modified entropy, which knows the label."""
    CALIBRATED = "calibrated"
    """phi minus the mean phi of references that never saw the sample: primary where references exist."""
    RMIA = "rmia"
    """Share of non-members that the sample dominates in likelihood ratio; needs references."""


def _is_absent(value: int | None) -> bool:
    return value is None


class ReferencesPlan(Part):
    """The family of leave-out models that audits."""

    family: Digest
    """Of the family's registration: training set, folds, recipe, seed."""
    folds: Annotated[int, Field(ge=2)]


class CanaryPlan(Part):
    """The batch of canaries that this run forgets, and those that were never trained on."""

    included: Annotated[int, Field(ge=1)]
    excluded: Annotated[int, Field(ge=1)]
    coin_commitment: Digest
    """To the secret coin that decided, published with the plan: the coin cannot be chosen afterwards."""
    wanted: Annotated[int, Field(ge=1)] | None = Field(default=None, exclude_if=_is_absent)
    """Of either kind, had there been enough. Where a plan does not say so it is left out: older plans keep their
    digests."""


class AuditPlan(Part):
    """Everything that decides what an audit measures and with which data; its digest is in the report.

    Nothing here depends on the candidate: it does not exist yet.
    """

    schema_version: Literal[1] = 1
    run_id: str
    lineage: str
    attempt: Annotated[int, Field(ge=1)]
    rung: Annotated[int, Field(ge=0)]
    audits_before: Annotated[int, Field(ge=0)]
    """Audited candidates of this run so far, j: every level is alpha / 2^j."""
    base_model: Digest
    manifest: Digest
    resolution: Digest
    policy: Digest
    spec: Digest
    forget_count: Annotated[int, Field(ge=1)]
    """Samples of the tickets; canaries are not among them."""
    forget_root: Digest
    """Merkle root over the salted commitments to those samples."""
    split_commitment: Digest
    """To the key by which held-out samples fall into D_v, D_t, C_cal and C_eval."""
    primary_signal: Literal[Signal.PHI, Signal.CALIBRATED]
    references: ReferencesPlan | None = None
    canaries: CanaryPlan | None = None
    seed: Annotated[int, Field(ge=0, lt=2**53)]
    """Of every sample that the audit draws."""
    tail_level: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Share of non-members beyond each tail's threshold in the primary tests."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    """Of the intervals."""
    rmia_offset: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    """a of RMIA offline: p(x) = ((1 + a) p_ref(x) + (1 - a)) / 2."""
    retain_images: Annotated[int, Field(ge=1)]
    svc_samples: Annotated[int, Field(ge=10, le=10_000)]
    created_at: Annotated[int, Field(ge=0)]
    """Microseconds since 1970-01-01 UTC."""

    def to_bytes(self) -> bytes:
        """Return the canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_bytes()).hexdigest()
