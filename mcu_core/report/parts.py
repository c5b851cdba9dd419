"""The audit report: everything that leaves the core as JSON.

`report.json` is the truth; every rendering shows its numbers and no others. Accuracies and rates are fractions.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mcu_core.config import UnlearningConfig

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, hexadecimal."""


class Part(BaseModel):
    """A frozen piece of the report."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Part):
    """A measured rate with its interval."""

    value: float
    low: float
    high: float
    count: int
    """Samples that it rests on."""
    method: str
    """Of the interval, such as `clopper-pearson`."""


class AucEstimate(Part):
    """AUC of φ between D_f and the sealed non-members; .5 is what an honest deletion gives."""

    value: float
    low: float | None
    """`None` where too few samples allow no interval; `method` says why."""
    high: float | None
    p_value: float
    """Two-sided, of AUC = .5."""
    forget_count: int
    nonmember_count: int
    method: str


class TailTest(Part):
    """Share of D_f beyond the non-members' 1 % tail, tested against what exchangeability allows."""

    side: Literal["upper", "lower"]
    level: float
    """Nominal share of non-members beyond the threshold."""
    threshold: float
    """Of φ, set on the non-members alone."""
    forget_count: int
    beyond: int
    """Forget samples beyond the threshold."""
    share: float
    p_value: float
    """One-sided and exact: P(at least this many | D_f and non-members exchangeable)."""


class MembershipAttack(Part):
    """SalUn's SVC confidence attack."""

    nonmember_share: float
    """Share of D_f that the classifier calls non-member: the literature's MIA."""
    sealed_nonmember_share: float
    """The same classifier's rate on the sealed non-members."""
    gap: float
    """Absolute difference of the two: 0 when D_f looks unseen. The rate alone has no meaning."""
    training_count: int
    """Members and non-members that the classifier was fitted on, each."""


class AlignmentGaps(Part):
    """Distance to the alignment references: A_v for D_f, A_train for D_r (paper, section 2.5)."""

    forget: float
    retain: float
    mean: float


class ModelName(StrEnum):
    """Whose measurements a row holds."""

    ORIGINAL = "original"
    FINETUNED = "finetune"
    RANDOM_LABEL = "random_label"
    GRADIENT_ASCENT = "gradient_ascent"
    NEGGRAD_PLUS = "neggrad_plus"
    SALUN = "salun"
    NEG_TASK_VECTOR = "neg_task_vector"
    ALIGNED = "align"
    SCRUB = "scrub"
    SSD = "ssd"
    L1_SPARSE = "l1_sparse"
    BAD_TEACHER = "bad_teacher"
    GIVEN = "given"
    """A model that the user brought as the end of the pathway."""
    MCU = "mcu"
    MCU_BETA = "mcu_beta"
    MCU_QUANTILE = "mcu_quantile"
    MCU_REFERENCE = "mcu_reference"
    RETRAINED = "retrain"


class ModelMeasurements(Part):
    """Everything measured of one model on the same data."""

    name: ModelName
    digest: Digest
    t: float | None = None
    """Position on the pathway, where there is one."""
    unlearning_accuracy: Estimate
    """UA = 1 - accuracy on D_f."""
    retain_accuracy: Estimate
    test_accuracy: Estimate
    auc: AucEstimate
    tails: tuple[TailTest, ...]
    membership: MembershipAttack
    gaps: AlignmentGaps
    seconds: float
    """Wall time to make it, with mask, selection and BatchNorm re-estimation; 0 for the original."""


class UtilityLoss(Part):
    """Loss of test accuracy from the original to the candidate, on the same images."""

    value: float
    upper: float
    """One-sided upper bound at the level of the gate."""
    level: float
    method: str


class WeightChange(Part):
    """What the unlearning did to the parameters."""

    changed_elements: int
    total_elements: int
    relative_l2: float
    """‖candidate - original‖ / ‖original‖ over all parameters."""


class PathPoint(Part):
    """The pathway at one t. D_t and the sealed samples are never read here."""

    t: float
    forget_accuracy: float
    retain_accuracy: float
    validation_accuracy: float
    gap: float
    auc: float | None = None
    """AUC of φ between D_f and class-matched samples of D_v."""
    distance: float | None = None
    """Of the two distributions of φ, centre and tails; see `connectivity.distribution`."""


class Interval(Part):
    """A closed interval of t."""

    start: float
    end: float


class PathwayReport(Part):
    """How the candidate was found on the pathway."""

    sweep: tuple[PathPoint, ...]
    evaluated: tuple[PathPoint, ...]
    """The points that the choice rests on, in the order in which they were evaluated."""
    region: tuple[Interval, ...]
    """Where the gap is below the pre-unlearning model's."""
    chosen_t: float
    policy: str
    mask_share: float
    """Share of all elements that the curve may move, in effect."""
    mask_note: str | None = None
    """Why it is another mask than the one asked for."""
    mask_tensors: int
    total_tensors: int
    beta_counts: dict[str, int]
    """How many batches used which β."""


class Counts(Part):
    """Sizes of the parts of the data."""

    train: int
    forget: int
    retain: int
    forgotten_before: int
    held: int
    validation: int
    test: int
    sealed: int
    sealed_matched: int
    """Sealed non-members used, class-matched to D_f."""


class References(Part):
    """The original's accuracies that unlearning aligns with."""

    train_accuracy: float
    validation_accuracy: float


class Environment(Part):
    """What computed the numbers."""

    versions: dict[str, str]
    device: str
    processor: str
    threads: int
    precision: str


class Measurements(Part):
    """What one attempt measured; the input of the gate together with its policy."""

    counts: Counts
    references: References
    models: Annotated[tuple[ModelMeasurements, ...], Field(min_length=1)]
    """The original first, the candidate last."""
    utility_loss: UtilityLoss
    weight_change: WeightChange
    pathway: PathwayReport | None
    seconds: dict[str, float]
    """Wall time of each phase."""
    environment: Environment

    @property
    def original(self) -> ModelMeasurements:
        """Return the row of the model as it was before."""
        return self.models[0]

    @property
    def candidate(self) -> ModelMeasurements:
        """Return the row of the model that is offered."""
        return self.models[-1]


class Verdict(StrEnum):
    """What the gate says of a candidate."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    VACUOUS = "VACUOUS"
    """The original itself would pass: nothing could have been seen, so nothing was shown."""
    INVALID = "INVALID"
    """The measurements do not belong together or are incomplete."""


class ReasonCode(StrEnum):
    """Why the gate decided as it did."""

    AUC_ABOVE_MARGIN = "AUC_ABOVE_MARGIN"
    AUC_BELOW_MARGIN = "AUC_BELOW_MARGIN"
    UPPER_TAIL_FULL = "UPPER_TAIL_FULL"
    LOWER_TAIL_FULL = "LOWER_TAIL_FULL"
    TEST_ACCURACY_LOST = "TEST_ACCURACY_LOST"
    WEIGHTS_UNCHANGED = "WEIGHTS_UNCHANGED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    MEASUREMENT_MISSING = "MEASUREMENT_MISSING"
    ORIGINAL_NOT_REJECTED = "ORIGINAL_NOT_REJECTED"


class Reason(Part):
    """One reason, for machines and for people."""

    code: ReasonCode
    text: str


class GateTest(Part):
    """One test of the gate as it was decided."""

    name: str
    statistic: float
    p_value: float | None
    threshold: float
    failed: bool


class Judgement(Part):
    """Verdict of the gate with everything it rests on."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    tests: tuple[GateTest, ...]
    alpha: float
    """Level of this attempt."""
    auc_margin: float
    """δ in effect."""
    positive_control_power: float
    """Chance that the AUC test of this attempt sees the original's trace; 1 - it is the chance to miss one as large."""


class AttemptSummary(Part):
    """An earlier attempt of the same run: none may be left out."""

    attempt: int
    rung: int
    rung_kind: str
    verdict: Verdict
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


class AuditReport(Part):
    """What was done, what was measured, what was decided."""

    schema_version: Literal[1] = 1
    subjects: Subjects
    attempt: int
    rung: int
    rung_kind: str
    seed: int
    config: UnlearningConfig
    measurements: Measurements
    judgement: Judgement
    previous_attempts: tuple[AttemptSummary, ...]
    limitations: tuple[str, ...]
