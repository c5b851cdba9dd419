"""The report as a whole: what was asked, planned, done, found and decided. `report.json` is its canonical JSON."""

from typing import Annotated, Literal

import rfc8785
from pydantic import Field

from mcu_core.config import UnlearningConfig
from mcu_core.report.evidence import Evidence
from mcu_core.report.judgement import Claim, Judgement, Verdict
from mcu_core.report.parts import Digest, Part
from mcu_core.report.plan import AuditPlan


class AttemptSummary(Part):
    """An earlier attempt of the same run: none may be left out."""

    attempt: int
    rung: int
    rung_kind: str
    verdict: Verdict
    claim: Claim
    plan_digest: Digest
    report_digest: Digest


class Subjects(Part):
    """Digests of everything that the report speaks of."""

    run_id: str
    lineage: str
    base_model: Digest
    candidate: Digest
    manifest: Digest
    resolution: Digest
    policy: Digest
    spec: Digest
    plan: Digest
    scores: Digest
    """Of `scores.parquet`, from which every number of `evidence` follows."""


class Deletion(Part):
    """What was asked to be forgotten, without naming it."""

    tickets: Annotated[int, Field(ge=1)]
    """How many requests this run answers."""
    samples: Annotated[int, Field(ge=1)]
    root: Digest
    """Merkle root over salted commitments: a receipt proves by a path that its samples are among them."""


class AuditReport(Part):
    """What was done, what was measured, what was decided."""

    schema_version: Literal[2] = 2
    subjects: Subjects
    deletion: Deletion
    attempt: int
    rung: int
    rung_kind: str
    seed: int
    config: UnlearningConfig
    """Method and settings in effect."""
    policy_version: str
    plan: AuditPlan
    evidence: Evidence
    judgement: Judgement
    previous_attempts: tuple[AttemptSummary, ...]

    def to_bytes(self) -> bytes:
        """Return the canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json"))
