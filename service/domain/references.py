"""Families of leave-out models of a lineage: what is known of them, whom they may serve, and when they must go.

A family knows everybody whom it was trained on. As soon as one of them is forgotten it is tainted: nothing may use it
any more, and its weights are purged by a deadline.
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from mcu_core.config import ArchitectureConfig, ReferenceFamilyConfig
from mcu_core.report import Digest
from service.domain.document import Document
from service.domain.model import Model
from service.domain.release import Release


class ReferencePurpose(StrEnum):
    """What a family is for; none may serve both, or the audit would find what it taught."""

    AUDIT = "audit"
    TEACH = "teach"


DEFAULT_SEEDS = {ReferencePurpose.AUDIT: 1, ReferencePurpose.TEACH: 2}
"""Two families of one seed would be the same models."""


class BuildStage(StrEnum):
    """What a build is doing."""

    DECODING = "decoding samples"
    """Counted in samples."""
    TRAINING = "training references"
    """Counted in members that were not stored already, with the share of the one at hand."""


class ReferencePlan(Document):
    """What a family will be, known before its first member is trained. Its digest names the family's folder."""

    schema_version: Literal[1] = 1
    lineage: str
    manifest_digest: Digest
    architecture: ArchitectureConfig
    config: ReferenceFamilyConfig
    purpose: ReferencePurpose
    folds_digest: Digest
    """SHA-256 of the file that names every row the members are trained on, with its fold."""
    samples: Annotated[int, Field(ge=2)]
    """Rows in that file."""
    left_out: Annotated[int, Field(ge=0)]
    """Training rows that are not in it, since they were forgotten before."""
    after_release: Annotated[int, Field(ge=1)]
    """Everything that the lineage's releases up to this one forgot is left out."""


class ReferenceRecord(Document):
    """A family whose members are all there. Its digest, which binds their bytes, is the family's name."""

    schema_version: Literal[1] = 1
    plan: ReferencePlan
    weights: tuple[Digest, ...]
    """SHA-256 of the safetensors file of each member, by fold."""
    built_at: AwareDatetime


class ReferenceTaint(Document):
    """A release has forgotten samples that the family was trained on."""

    schema_version: Literal[1] = 1
    release: Annotated[int, Field(ge=2)]
    """The first that did."""
    tainted_at: AwareDatetime
    """When it was published."""
    purge_by: AwareDatetime


def taint_of(plan: ReferencePlan, releases: Iterable[Release], purge_after: timedelta) -> ReferenceTaint | None:
    """Return what taints a family, finished or not; the same answer whenever it is asked.

    What a later release forgot was not left out, so that members were trained on it.

    Args:
        plan: of the family.
        releases: of its lineage, in any order.
        purge_after: from the release to the end of the weights.

    Returns:
        The taint; `None` as long as nothing was forgotten that the family knows.
    """
    later = (release for release in releases if release.number > plan.after_release and release.forget_count)
    first = min(later, key=lambda release: release.number, default=None)
    if first is None:
        return None
    return ReferenceTaint(release=first.number, tainted_at=first.created_at, purge_by=first.created_at + purge_after)


def choose_family(
    records: Iterable[ReferenceRecord],
    purpose: ReferencePurpose,
    model: Model,
    *,
    teacher: ReferenceRecord | None = None,
) -> ReferenceRecord | None:
    """Return the newest family that may serve a run.

    1. It was built for that purpose. 2. It is of this lineage, manifest and architecture. 3. It shares its seed with no
    family that teaches in the run.

    Args:
        records: families that are not tainted.
        purpose: to audit or to teach.
        model: the lineage.
        teacher: the family that teaches in the same run, where there is one.
    """
    fitting = (
        record
        for record in records
        if record.plan.purpose is purpose
        and record.plan.lineage == model.lineage
        and record.plan.manifest_digest == model.manifest.digest
        and record.plan.architecture == model.architecture
        and (teacher is None or record.plan.config.seed != teacher.plan.config.seed)
    )
    return max(fitting, key=lambda record: (record.built_at, record.digest), default=None)


def families_folder(lineage: str | None = None) -> str:
    """Return where the families of a lineage lie in the object store, or those of all."""
    return "references" if lineage is None else f"references/{lineage}"


def family_folder(lineage: str, plan_digest: str) -> str:
    """Return where a family lies."""
    return f"{families_folder(lineage)}/{plan_digest}"


def plan_key(folder: str) -> str:
    """Return where a family's plan lies: written first and deleted last, so that every member is accounted for."""
    return f"{folder}/plan.json"


def folds_key(folder: str) -> str:
    """Return where the rows that members were trained on lie, with the fold of each."""
    return f"{folder}/folds.safetensors"


def member_key(folder: str, fold: int) -> str:
    """Return where the member lies that never saw a fold."""
    return f"{folder}/fold-{fold:02d}.safetensors"


def record_key(folder: str) -> str:
    """Return where a family's record lies: written last, only then the family exists."""
    return f"{folder}/family.json"


def taint_key(folder: str) -> str:
    """Return where it is said that a family may not be used any more."""
    return f"{folder}/taint.json"
