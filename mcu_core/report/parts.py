"""Pieces that plan, evidence and report are made of. Accuracies and rates are fractions."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
