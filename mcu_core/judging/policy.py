"""Thresholds of the gate, as the versioned `policy.yaml` holds them."""

import hashlib
from typing import Annotated

import rfc8785
from pydantic import Field

from mcu_core.config import Fraction, Setting

Level = Annotated[float, Field(gt=0.0, lt=0.5)]


class AuditPolicy(Setting):
    """Thresholds of the gate. The digest of what was in effect is in every plan and report."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of this set of thresholds, such as `2026-11`."""
    alpha: Level
    """Family-wise level of the primary tests at the first attempt."""
    alpha_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    """Factor on alpha at each further attempt."""
    control_alpha: Level
    """Level at which a control is off: negative control, blind baseline, calibration, relearning."""
    tail_level: Level
    """Share of non-members beyond each tail's threshold in the primary tests."""
    margin: Level
    """Largest distance of the AUC from .5 that counts as equivalent."""
    margin_large: Level
    """The same where many samples are forgotten, who can be held to more."""
    margin_large_from: Annotated[int, Field(ge=1)]
    """Number of forgotten samples from which `margin_large` holds."""
    margin_share_of_original: Fraction
    """The same as a share of the original's own excess over .5: an absolute margin alone would pass an original whose
    AUC is .58. The smallest of the three is in effect."""
    least_power: Annotated[float, Field(gt=0.5, lt=1.0)]
    """Chance of showing equivalence below which an audit counts as small: canaries may then carry an acceptance where
    equivalence is not shown. An audit that had more and did not show it gets no help from canaries."""
    canary_margin_share: Fraction
    """Share of the original's excess on the canaries that the candidate's interval must stay within."""
    test_accuracy_loss_margin: Fraction
    """Largest upper bound of the loss of test accuracy, as a fraction."""
    retain_accuracy_loss_margin: Fraction
    """The same on D_r."""
    retained_exposure_margin: Fraction
    """Largest increase of the AUC of D_r against unseen samples: retained people must not pay for others' deletion."""

    def alpha_at(self, attempt: int) -> float:
        """Return the level of an attempt, counted from 0: alpha * decay^attempt."""
        return self.alpha * self.alpha_decay**attempt

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the policy's canonical JSON (RFC 8785)."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()
