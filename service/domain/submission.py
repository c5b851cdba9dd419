"""What callers ask for and are told before anything is stored."""

from dataclasses import dataclass
from datetime import datetime

from mcu_core.config import ArchitectureConfig, RetrainConfig
from service.domain.canary import CanaryRegister
from service.domain.deadline import Regime


@dataclass(frozen=True, slots=True, kw_only=True)
class BySubjects:
    """The samples of these people, as the manifest's `subject_id` has them."""

    subject_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLabel:
    """Every training sample of a label: class-wise deletion."""

    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ByUpload:
    """The ids of an uploaded set."""

    upload_id: str


Selection = BySubjects | ByLabel | ByUpload
"""Samples that are not named by ids in the request itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A deletion request as it arrived.

    Attributes:
        request_id: made up by the caller; the same id with the same content has no second effect.
        sample_ids: in the order of the request; errors name them by their position in it. Empty with a selection.
    """

    lineage: str
    request_id: str
    sample_ids: tuple[str, ...]
    regime: Regime
    selection: Selection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketPreview:
    """What would come of a submission.

    Attributes:
        already_forgotten: samples that the lineage's current release has forgotten.
        due_at: when a ticket received now would be due.
        claim: what the audit could honestly claim about a forget set of this size.
    """

    sample_count: int
    already_forgotten: int
    due_at: datetime
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A lineage that somebody wants to register; weights and manifest lie in the object store under their digests."""

    lineage: str
    request_id: str
    architecture: ArchitectureConfig
    manifest_digest: str
    weights_digest: str
    recipe: RetrainConfig | None
    baseline_train_accuracy: float | None
    canaries: CanaryRegister | None = None
    requires_acknowledgement: bool = False
