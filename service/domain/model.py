"""A registered lineage: one model and all its versions."""

from dataclasses import dataclass
from datetime import datetime

from mcu_core.config import ArchitectureConfig, RetrainConfig
from service.domain.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What must be known of a lineage to unlearn from it.

    Attributes:
        weights_digest: SHA-256 of the original's safetensors file.
        recipe: how the original was trained; without it exact retraining is not on the ladder.
        baseline_train_accuracy: the registrant's claim; a measured value that differs means that the data or their
            preprocessing are not those of the training, and stops the run.
        current_release: number of the release that readers are pointed to.
        runs_started: runs of this lineage so far; numbers the next one.
        canary_commitment: SHA-256 of the register of the canaries that were planted at training, where there are any.
        canaries_mislabelled: whether they have wrong classes.
        requires_acknowledgement: whether tickets wait until the serving side says that it runs the release.
    """

    lineage: str
    tenant: str
    architecture: ArchitectureConfig
    manifest: Manifest
    weights_digest: str
    recipe: RetrainConfig | None
    baseline_train_accuracy: float | None
    registered_at: datetime
    current_release: int = 1
    runs_started: int = 0
    version: int = 0
    canary_commitment: str | None = None
    canaries_mislabelled: bool = False
    requires_acknowledgement: bool = False
