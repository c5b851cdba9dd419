"""What the gate decided and why: the output of GATE."""

from enum import StrEnum

from mcu_core.report.parts import Part


class Verdict(StrEnum):
    """What the gate says of a candidate."""

    ACCEPT_POWERED = "ACCEPT_POWERED"
    """Equivalent to unseen samples within the margin, by an audit that would have seen a larger trace."""
    ACCEPT_CANARY_BACKED = "ACCEPT_CANARY_BACKED"
    """Too few samples to show equivalence; nothing was found, and the canaries that went with them are forgotten."""
    NEEDS_REVIEW = "NEEDS_REVIEW"
    """Neither shown to be forgotten nor shown not to be."""
    REJECT = "REJECT"
    """The deleted samples can be told from unseen ones, or the model lost too much."""
    VACUOUS = "VACUOUS"
    """The original itself would pass: nothing could have been seen, so nothing was shown."""
    INVALID = "INVALID"
    """The measurements do not belong together, are incomplete, or come from an instrument that is off."""

    @property
    def accepts(self) -> bool:
        """Return whether a candidate with this verdict may be published."""
        return self in {Verdict.ACCEPT_POWERED, Verdict.ACCEPT_CANARY_BACKED}


class Claim(StrEnum):
    """What an accepted audit says, and no more."""

    NOTHING = "NOTHING"
    INDIVIDUAL_NOT_EXTREME = "INDIVIDUAL_NOT_EXTREME"
    """No deleted sample is answered more or less like a member than the unseen samples of its class."""
    NO_GROSS_RETENTION_DETECTED = "NO_GROSS_RETENTION_DETECTED"
    EQUIVALENT_WITHIN = "EQUIVALENT_WITHIN"
    """The AUC lies within the margin of .5 by a test of equivalence."""


class ReasonCode(StrEnum):
    """Which check spoke; stable, for machines."""

    # HARD
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    ORIGINAL_ANSWERS_DIFFER = "ORIGINAL_ANSWERS_DIFFER"
    WEIGHTS_UNCHANGED = "WEIGHTS_UNCHANGED"
    PARTS_OVERLAP = "PARTS_OVERLAP"
    FORGET_SET_MISMATCH = "FORGET_SET_MISMATCH"
    BATCHNORM_NOT_FROM_RETAIN = "BATCHNORM_NOT_FROM_RETAIN"
    PLAN_NOT_BEFORE_RUN = "PLAN_NOT_BEFORE_RUN"
    PLAN_MISMATCH = "PLAN_MISMATCH"
    MEASUREMENT_MISSING = "MEASUREMENT_MISSING"
    # VALIDITY
    ORIGINAL_NOT_REJECTED = "ORIGINAL_NOT_REJECTED"
    NEGATIVE_CONTROL_REJECTED = "NEGATIVE_CONTROL_REJECTED"
    BLIND_BASELINE_TELLS_APART = "BLIND_BASELINE_TELLS_APART"
    NOT_CALIBRATED = "NOT_CALIBRATED"
    # REJECT
    AUC_ABOVE = "AUC_ABOVE"
    AUC_BELOW = "AUC_BELOW"
    UPPER_TAIL_FULL = "UPPER_TAIL_FULL"
    LOWER_TAIL_FULL = "LOWER_TAIL_FULL"
    CANARIES_REMEMBERED = "CANARIES_REMEMBERED"
    CANARIES_OVER_FORGOTTEN = "CANARIES_OVER_FORGOTTEN"
    TEST_ACCURACY_LOST = "TEST_ACCURACY_LOST"
    RETAIN_ACCURACY_LOST = "RETAIN_ACCURACY_LOST"
    EARLIER_FORGOTTEN_CAME_BACK = "EARLIER_FORGOTTEN_CAME_BACK"
    # REVIEW
    NOT_EQUIVALENT = "NOT_EQUIVALENT"
    RELEARNED_QUICKLY = "RELEARNED_QUICKLY"
    RETAINED_MORE_EXPOSED = "RETAINED_MORE_EXPOSED"
    INDIVIDUAL_EXTREME = "INDIVIDUAL_EXTREME"
    # ACCEPT
    EQUIVALENT = "EQUIVALENT"
    CANARY_BACKED = "CANARY_BACKED"


class Stage(StrEnum):
    """Which group of checks a finding belongs to, in the order in which they decide."""

    HARD = "hard"
    VALIDITY = "validity"
    REJECT = "reject"
    REVIEW = "review"
    ACCEPT = "accept"


class Finding(Part):
    """What one check found."""

    check: str
    """Name of the check, such as `primary.tail.upper`."""
    stage: Stage
    passed: bool
    code: ReasonCode | None
    """Why it did not pass, or, in stage ACCEPT, what carries the acceptance."""
    text: str
    """One sentence for a person."""
    statistic: float | None = None
    threshold: float | None = None
    """What the statistic must not pass, or, where only a p-value decides, the level that it is compared with."""
    p_value: float | None = None
    """Adjusted where several tests are one family."""
    power: float | None = None
    """Of the candidate's AUC tests: chance to see an effect as large as the original's own, at the level of Holm's
    first step, alpha / 2^j over the number of primary tests."""


class Judgement(Part):
    """Verdict with everything that it rests on."""

    verdict: Verdict
    claim: Claim
    claim_margin: float | None
    """Of EQUIVALENT_WITHIN."""
    reasons: tuple[Finding, ...]
    """The findings that decided."""
    findings: tuple[Finding, ...]
    """Every check that was made, in order."""
    alpha: float
    """Level of this attempt: alpha / 2^j."""
    margin: float | None
    """delta in effect; `None` where the original's AUC could not be estimated."""
    positive_control_power: float
    """Chance that the primary tests of this attempt see a trace as large as the original's."""
    limitations: tuple[str, ...]
    """What this verdict does not say, given the number of samples and what was estimable."""
