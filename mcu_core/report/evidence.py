"""What the audit found: the output of STATS and the input of GATE. Numbers with their intervals, no decision.

Every number here is recomputed from `scores.parquet` and `plan.json` alone by `mcu_core.statistics`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mcu_core.report.parts import (
    Counts,
    Digest,
    Environment,
    Estimate,
    MembershipAttack,
    ModelName,
    Part,
    PathwayReport,
    References,
    UtilityLoss,
    WeightChange,
)
from mcu_core.report.plan import Signal


class Group(StrEnum):
    """The parts of the data that are scored."""

    FORGET = "forget"
    """The tickets' samples."""
    RETAIN = "retain"
    """A seeded sample of D_r."""
    TEST = "test"
    """D_t."""
    CALIBRATION = "calibration"
    """C_cal: sealed non-members that conformal p-values are computed against."""
    EVALUATION = "evaluation"
    """C_eval: sealed non-members that D_f is compared with."""
    CANARY_INCLUDED = "canary_included"
    """Canaries that the original was trained on and this run forgets."""
    CANARY_EXCLUDED = "canary_excluded"
    """Canaries of the same kind that no model was trained on."""
    FORGOTTEN_BEFORE = "forgotten_before"
    """A seeded sample of what earlier releases forgot."""


class Role(StrEnum):
    """Which model a score or result is of."""

    ORIGINAL = "original"
    PRE_UNLEARNED = "pre_unlearned"
    CANDIDATE = "candidate"
    RELEARNED = "relearned"
    """The candidate after one epoch on D_r."""
    NONE = "none"
    """No model: a classifier of labels and image statistics."""


class BatchNormSource(StrEnum):
    """Where the candidate's BatchNorm statistics come from, as the audit could verify."""

    NOT_PRESENT = "not_present"
    REPRODUCED = "reproduced"
    """Estimating them anew on D_r gave the candidate's."""
    TRAINED = "trained"
    """A model that was retrained elsewhere keeps those of its own training on D_r; nobody could check them."""
    DIFFERENT = "different"
    """Estimating them anew on D_r gave others: they come from elsewhere."""


class Duplicates(Part):
    """Samples of D_r that look like samples of D_f: what was asked to be forgotten may live on in them."""

    exact: int
    """Samples of D_f with a copy, pixel for pixel, in D_r."""
    near: int
    """Samples of D_f with a near copy in D_r, exact ones not counted."""
    searched: int
    """Samples of D_f that were compared."""
    method: str


class RelearningPoint(Part):
    """How D_f stands after a share of one epoch on D_r, starting from the candidate."""

    epochs: float
    forget_accuracy: float
    auc: float
    """Of the primary signal, D_f against C_eval."""


class Facts(Part):
    """What SCORE knows beside the scores; it travels in the metadata of `scores.parquet`."""

    plan: Digest
    digests: dict[Role, Digest]
    """Of the bytes that were scored; the candidate's was read back from where it is published from."""
    names: dict[Role, ModelName]
    seconds: dict[Role, float]
    """Wall time to make each model."""
    chosen_t: float | None
    weight_change: WeightChange
    batchnorm: BatchNormSource
    shared_rows: int
    """Rows that stand in more than one of D_f, D_r, D_v, D_t, C_cal, C_eval and the canaries: must be 0."""
    counts: Counts
    references: References
    duplicates: Duplicates
    relearning: tuple[RelearningPoint, ...]
    pathway: PathwayReport | None
    phase_seconds: dict[str, float]
    started_at: Annotated[int, Field(ge=0)]
    """Of the run, microseconds since 1970-01-01 UTC: later than the plan."""
    environment: Environment


class Result(Part):
    """One number with its interval, its test and what it could have seen."""

    name: str
    """Such as `auc`, `tail.upper`, `canary`."""
    role: Role
    signal: Signal | None = None
    value: float | None
    """`None` exactly where `not_estimable` says why."""
    low: float | None = None
    high: float | None = None
    level: float | None = None
    """Of the interval."""
    standard_error: float | None = None
    """Of logit(value), for AUCs: what a test of equivalence needs."""
    p_value: float | None = None
    hypothesis: str = ""
    """What p_value is the probability under, such as `AUC = 0.5, two-sided`."""
    forget_count: int
    """n: samples in question."""
    other_count: int
    """m: samples that they are compared with."""
    forget_subjects: int | None = None
    """Independent subjects behind the forget samples, where they are fewer: what interval and p-value rest on."""
    method: str
    not_estimable: str | None = None


class ModelRow(Part):
    """The paper's metrics of one model."""

    role: Role
    name: ModelName
    digest: Digest
    t: float | None
    unlearning_accuracy: Estimate
    """UA = 1 - accuracy on D_f."""
    retain_accuracy: Estimate
    test_accuracy: Estimate
    class_test_accuracy: Estimate | None
    """UA_test: 1 - accuracy on the test images of a class that goes entirely."""
    membership: MembershipAttack
    forget_gap: float
    """|FA - A_v|."""
    retain_gap: float
    """|RA - A_train|."""
    seconds: float


class Individuals(Part):
    """Class-conditional conformal p-values of each sample of D_f on the candidate, by position and without ids."""

    p_high: tuple[float, ...]
    """Small: more like a member than unseen samples of its class."""
    p_low: tuple[float, ...]
    """Small: less like a member than they are."""
    p_two: tuple[float, ...]
    """min(1, 2 min(p_high, p_low))."""
    smallest: float
    """Holm-adjusted smallest of p_two over all of D_f."""
    pooled: int = 0
    """Samples whose class has no unseen calibration sample, so that those of all classes stand in."""


class CanaryEvidence(Part):
    """Canaries that this run forgot against canaries that nobody was trained on."""

    original: Result
    candidate: Result
    one_run: Result
    """Guesses of which canaries were in, on the candidate (Steinke et al. 2023)."""
    one_run_original: Result


class ClassChange(Part):
    """Change of test accuracy of one class from the original to the candidate."""

    label: int
    change: float
    low: float | None
    high: float | None
    count: int


class RocCurve(Part):
    """Points of one ROC curve, thinned; D_f against C_eval on the primary signal."""

    role: Role
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    low: tuple[float, ...]
    """Clopper-Pearson band of the true positive rate."""
    high: tuple[float, ...]


class Histogram(Part):
    """Counts of the primary signal in common bins; what lies outside them is counted in the outermost."""

    role: Role
    group: Group
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Figures(Part):
    """The data of every figure of the report that is not elsewhere in it."""

    roc: tuple[RocCurve, ...]
    histograms: tuple[Histogram, ...]
    p_values: tuple[float, ...]
    """Conformal p-values of C_eval against C_cal, ascending, every k-th where they are many: uniform where the
    instrument is calibrated."""


class Evidence(Part):
    """All of it."""

    facts: Facts
    models: Annotated[tuple[ModelRow, ...], Field(min_length=2)]
    """The original first, the candidate last."""
    primary: tuple[Result, ...]
    """Of the candidate: `auc`, `tail.upper`, `tail.lower`, in this order."""
    positive_control: tuple[Result, ...]
    """The same three of the original."""
    negative_control: tuple[Result, ...]
    """The same three of the candidate, with unseen samples in D_f's place."""
    blind_baseline: Result
    calibration: Result
    canaries: CanaryEvidence | None
    individuals: Individuals
    utility: dict[Group, UtilityLoss]
    """Loss of accuracy on D_t and D_r with its one-sided upper bound."""
    classes: tuple[ClassChange, ...]
    secondary: tuple[Result, ...]
    """AUC, tails, TPR at low FPR of every signal on original, end and candidate: reported, not judged."""
    relearned: Result
    """AUC of the relearned candidate, one-sided above .5."""
    retained_exposure: tuple[Result, Result]
    """AUC of D_r against C_eval: of the original, of the candidate."""
    version_pair: Result
    """AUC of the difference of both models' phi: what somebody sees who holds both versions. Never a gate."""
    forgotten_before: Result | None
    figures: Figures
