"""What people call what the report's codes stand for."""

from mcu_core.report.evidence import BatchNormSource, Group, Role
from mcu_core.report.judgement import Claim, Judgement, ReasonCode, Stage, Verdict
from mcu_core.report.parts import ModelName
from mcu_core.report.plan import Signal
from service.report_page import numbers

HEADLINES = {
    Verdict.ACCEPT_POWERED: "This audit could not tell the deleted samples from samples that the model has never seen.",
    Verdict.ACCEPT_CANARY_BACKED: "No trace of the deleted samples was found, and samples planted to be "
    "forgotten with them are shown to be forgotten.",
    Verdict.NEEDS_REVIEW: "It could not be shown that the deleted samples are forgotten, nor that they are not.",
    Verdict.REJECT: "The new model does not pass.",
    Verdict.VACUOUS: "This audit shows nothing: even in the model before deletion it could not have seen a trace.",
    Verdict.INVALID: "This audit does not count: its measurements are incomplete or do not belong together.",
}
"""The verdict in one sentence; of a rejection, `headline` says more."""

REMEMBERED = {
    ReasonCode.AUC_ABOVE, ReasonCode.UPPER_TAIL_FULL, ReasonCode.CANARIES_REMEMBERED,
    ReasonCode.EARLIER_FORGOTTEN_CAME_BACK,
}  # fmt: skip
OVER_FORGOTTEN = {ReasonCode.AUC_BELOW, ReasonCode.LOWER_TAIL_FULL, ReasonCode.CANARIES_OVER_FORGOTTEN}
LOST = {ReasonCode.TEST_ACCURACY_LOST, ReasonCode.RETAIN_ACCURACY_LOST}
REJECTIONS = (
    (REMEMBERED, "it still recognises samples that were to be forgotten"),
    (OVER_FORGOTTEN, "it was pushed so far from the deleted samples that they stand out"),
    (LOST, "it lost too much accuracy"),
)
"""What a rejection says, by its reasons."""

CONSEQUENCES = {
    Verdict.ACCEPT_POWERED: "The new model may be published in place of the old one.",
    Verdict.ACCEPT_CANARY_BACKED: "The new model may be published in place of the old one.",
    Verdict.NEEDS_REVIEW: "The new model must not be published until a person has decided.",
    Verdict.REJECT: "The new model must not be published.",
    Verdict.VACUOUS: "The new model must not be published on the strength of this audit.",
    Verdict.INVALID: "The new model must not be published on the strength of this audit.",
}
"""What follows from it."""

SHORT = {
    Verdict.ACCEPT_POWERED: "Accepted",
    Verdict.ACCEPT_CANARY_BACKED: "Accepted",
    Verdict.NEEDS_REVIEW: "Needs review",
    Verdict.REJECT: "Rejected",
    Verdict.VACUOUS: "Nothing shown",
    Verdict.INVALID: "Invalid",
}

SIGNS = {
    Verdict.ACCEPT_POWERED: "\N{CHECK MARK}",
    Verdict.ACCEPT_CANARY_BACKED: "\N{CHECK MARK}",
    Verdict.NEEDS_REVIEW: "?",
    Verdict.REJECT: "\N{MULTIPLICATION SIGN}",
    Verdict.VACUOUS: "\N{EMPTY SET}",
    Verdict.INVALID: "!",
}
"""So that the verdict is not shown by colour alone."""

MODELS = {
    ModelName.ORIGINAL: "Original model",
    ModelName.FINETUNED: "Finetune",
    ModelName.RANDOM_LABEL: "RandomLabel",
    ModelName.GRADIENT_ASCENT: "GradientAscent",
    ModelName.NEGGRAD_PLUS: "NegGrad+",
    ModelName.SALUN: "SalUn",
    ModelName.NEG_TASK_VECTOR: "NegTV",
    ModelName.ALIGNED: "Aligned",
    ModelName.SCRUB: "SCRUB",
    ModelName.SSD: "SSD",
    ModelName.L1_SPARSE: "L1-sparse",
    ModelName.BAD_TEACHER: "BadTeacher",
    ModelName.GIVEN: "Brought by the user",
    ModelName.MCU: "MCU",
    ModelName.MCU_BETA: "MCU_β",
    ModelName.MCU_QUANTILE: "MCU (quantile)",
    ModelName.MCU_REFERENCE: "MCU (reference)",
    ModelName.RETRAINED: "Retrained",
}

ROLES = {
    Role.ORIGINAL: "Before deletion (original)",
    Role.PRE_UNLEARNED: "End of the path (pre-unlearned)",
    Role.CANDIDATE: "After deletion (candidate)",
    Role.RELEARNED: "Candidate after one more epoch",
    Role.NONE: "No model",
}

GROUPS = {
    Group.FORGET: "Deleted samples",
    Group.RETAIN: "Kept samples",
    Group.TEST: "Test samples",
    Group.CALIBRATION: "Unseen samples (calibration)",
    Group.EVALUATION: "Unseen samples",
    Group.CANARY_INCLUDED: "Canaries, trained on",
    Group.CANARY_EXCLUDED: "Canaries, never trained on",
    Group.FORGOTTEN_BEFORE: "Samples forgotten earlier",
}

SIGNALS = {
    Signal.PHI: "φ",
    Signal.CONFIDENCE: "confidence",
    Signal.LOSS: "loss",
    Signal.ENTROPY: "entropy",
    Signal.MODIFIED_ENTROPY: "modified\N{NO-BREAK SPACE}entropy",
    Signal.CALIBRATED: "calibrated\N{NO-BREAK SPACE}φ",
    Signal.RMIA: "RMIA",
}

RESULTS = {
    "auc": "AUC: deleted against unseen",
    "tail.upper": "Upper tail: deleted samples answered too confidently",
    "tail.lower": "Lower tail: deleted samples answered too unsurely",
    "canary": "AUC: forgotten canaries against canaries never trained on",
    "canary.one_run": "Guesses of which canaries were trained on",
    "blind_baseline": "Blind baseline: labels and image statistics alone",
    "calibration": "Calibration: p-values of unseen samples are uniform",
    "version_pair": "AUC: old and new version compared",
}
"""Names of results; one that is not here is shown as it is."""

STAGES = {
    Stage.HARD: "The pieces belong together",
    Stage.VALIDITY: "The instrument works",
    Stage.REJECT: "No trace and no loss was found",
    Stage.REVIEW: "No doubt is left",
    Stage.ACCEPT: "Forgetting was shown",
}

BATCHNORM = {
    BatchNormSource.NOT_PRESENT: "the model has no BatchNorm",
    BatchNormSource.REPRODUCED: "from kept samples only (reproduced)",
    BatchNormSource.TRAINED: "from its own training on kept samples",
    BatchNormSource.DIFFERENT: "not those of the kept samples",
}

RUNGS = {
    "mcu": "mode connectivity",
    "method": "one method, without a path",
    "another_point": "another point of the path",
    "retrain": "exact retraining",
}
"""Kinds of attempts, by the name of their rung."""


def headline(judgement: Judgement) -> str:
    """Return the verdict in one sentence."""
    codes = {reason.code for reason in judgement.reasons}
    said = [text for reasons, text in REJECTIONS if codes & reasons]
    if judgement.verdict is not Verdict.REJECT or not said:
        return HEADLINES[judgement.verdict]
    return f"The new model does not pass: {', and '.join(said)}."


def claim(judgement: Judgement) -> str:
    """Return in one or two sentences what the report says, and no more."""
    match judgement.claim:
        case Claim.NOTHING:
            return "This report makes no claim that anything was forgotten."
        case Claim.INDIVIDUAL_NOT_EXTREME:
            return (
                "No single deleted sample is answered more, or less, like a training sample than unseen samples of "
                "its class are. With so few samples nothing stronger can be said."
            )
        case Claim.NO_GROSS_RETENTION_DETECTED:
            return "No gross trace of the deleted samples was detected. A small one could have gone unnoticed."
        case Claim.EQUIVALENT_WITHIN:
            points = None if judgement.claim_margin is None else numbers.decimal(100.0 * judgement.claim_margin, 1)
            margin = "a margin" if points is None else f"{points} percentage points"
            return (
                "Shown one deleted and one unseen sample, the planned attack picks out the deleted one as often as a "
                f"coin would, in half of all cases, give or take {margin}."
            )


def result(name: str) -> str:
    """Return what people call a result."""
    return RESULTS.get(name, name.replace(".", " ").replace("_", " "))


def model(name: ModelName, t: float | None) -> str:
    """Return a model's name, with its place on the path."""
    return MODELS[name] if t is None else f"{MODELS[name]} (t = {numbers.decimal(t)})"
