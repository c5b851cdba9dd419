"""ACCEPT: what carries an acceptance: equivalence, or canaries where there are too few samples to show it."""

from dataclasses import dataclass

from mcu_core.judging.case import FEW_SAMPLES, Case, finding, missing, p_of, share_of, shown
from mcu_core.judging.equivalence import equivalence_p, equivalence_power, interval_at
from mcu_core.judging.holm import adjusted_of
from mcu_core.report.evidence import CanaryEvidence
from mcu_core.report.judgement import Finding, ReasonCode, Stage

SYMMETRIC = 1e-9
"""By which the ends of an interval around one half may differ in their distance from it: rounding."""


@dataclass(frozen=True, slots=True)
class Equivalent:
    """The AUC lies within delta of .5 by two one-sided tests; only failing to find a trace is not enough."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Test at the level of this attempt."""
        margin = case.margin
        result = next((result for result in case.evidence.primary if result.name == "auc"), None)
        value = None if result is None else share_of(result)
        if result is None or value is None or margin is None:
            return (missing("equivalence", Stage.REVIEW, "the AUC of the original or of the candidate"),)
        error = result.standard_error
        if result.forget_count < FEW_SAMPLES or error is None or error <= 0.0:
            text = f"Equivalence cannot be shown with {_samples(result.forget_count)}."
            return (_unproven(text, value, margin, None),)
        p_value = equivalence_p(value, error, margin)
        if p_value >= case.alpha:
            chance = power(case)
            text = (
                f"It is not shown that the AUC, {value:.3f}, lies within {margin:.3f} of one half ({shown(p_value)}). "
                f"A perfect deletion would be shown in {chance:.0%} of such audits."
            )
            return (_unproven(text, value, margin, p_value),)
        text = f"It is shown that the AUC, {value:.3f}, lies within {margin:.3f} of one half ({shown(p_value)})."
        return (
            Finding(
                check="equivalence",
                stage=Stage.ACCEPT,
                passed=True,
                code=ReasonCode.EQUIVALENT,
                text=text,
                statistic=value,
                threshold=margin,
                p_value=p_value,
            ),
        )


@dataclass(frozen=True, slots=True)
class CanariesForgotten:
    """The original remembers the canaries, the candidate forgot them, and nothing tells which were planted."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Make the three checks; the last of them carries the acceptance where all pass."""
        canaries, adjusted = case.evidence.canaries, adjusted_of(case.original_tests)
        if canaries is None or adjusted is None:
            return (missing("canaries", Stage.REVIEW, "canaries"),)
        remembered = _remembered_before(canaries, adjusted[-1], case.alpha)
        guessed = _not_guessed(canaries, case.alpha)
        return (remembered, guessed, _forgotten(canaries, case))


def power(case: Case) -> float:
    """Return the chance that an audit of this size shows equivalence of a perfect deletion; 0 below ten samples."""
    auc = next((result for result in case.evidence.primary if result.name == "auc"), None)
    if auc is None or case.margin is None or auc.forget_count < FEW_SAMPLES:
        return 0.0
    return equivalence_power(auc.forget_count, auc.other_count, margin=case.margin, alpha=case.alpha)


def _remembered_before(canaries: CanaryEvidence, adjusted: float, alpha: float) -> Finding:
    value = share_of(canaries.original)
    if value is None:
        return missing("canaries.original", Stage.REVIEW, "the original's AUC on the canaries")
    remembered = adjusted <= alpha and value > 0.5
    text = (
        f"The original model {'remembers' if remembered else 'does not remember'} the canaries: AUC {value:.3f} "
        f"(adjusted {shown(adjusted)})."
    )
    failed = None if remembered else ReasonCode.ORIGINAL_NOT_REJECTED
    return finding("canaries.original", Stage.REVIEW, failed, text, statistic=value, threshold=alpha, p_value=adjusted)


def _not_guessed(canaries: CanaryEvidence, alpha: float) -> Finding:
    p_value = p_of(canaries.one_run)
    if p_value is None:
        return missing("canaries.one_run", Stage.REVIEW, "the one-run test of the canaries")
    guessed = p_value < alpha
    can = "can" if guessed else "cannot"
    text = f"Which canaries were planted {can} be guessed from the new model ({shown(p_value)})."
    failed = ReasonCode.CANARIES_REMEMBERED if guessed else None
    return finding(
        "canaries.one_run",
        Stage.REVIEW,
        failed,
        text,
        statistic=canaries.one_run.value,
        threshold=alpha,
        p_value=p_value,
    )


def _forgotten(canaries: CanaryEvidence, case: Case) -> Finding:
    """Compare the interval at 1 - 2 alpha / 2^j, or the plan's where that is wider, with a share of the excess."""
    before, result = share_of(canaries.original), canaries.candidate
    interval = interval_at(result, max(result.level or 0.0, 1.0 - 2.0 * case.alpha))
    if before is None or interval is None:
        return missing("canaries.candidate", Stage.REVIEW, "an interval of the candidate's AUC on the canaries")
    margin = case.policy.canary_margin_share * abs(before - 0.5)
    beyond = max(interval[1] - 0.5, 0.5 - interval[0])
    within = beyond <= margin
    over = interval[1] - 0.5 < 0.5 - interval[0] - SYMMETRIC
    side = ReasonCode.CANARIES_OVER_FORGOTTEN if over else ReasonCode.CANARIES_REMEMBERED
    text = (
        f"The canaries that went with the deleted samples are forgotten: their AUC lies between {interval[0]:.3f} and "
        f"{interval[1]:.3f}, within {margin:.3f} of one half."
        if within
        else f"It is not shown that the canaries are forgotten: their AUC lies between {interval[0]:.3f} and "
        f"{interval[1]:.3f}, not within {margin:.3f} of one half."
    )
    return Finding(
        check="canaries.candidate",
        stage=Stage.ACCEPT if within else Stage.REVIEW,
        passed=within,
        code=ReasonCode.CANARY_BACKED if within else side,
        text=text,
        statistic=round(beyond, 9),
        threshold=round(margin, 9),
    )


def _unproven(text: str, value: float, margin: float, p_value: float | None) -> Finding:
    return finding(
        "equivalence",
        Stage.REVIEW,
        ReasonCode.NOT_EQUIVALENT,
        text,
        statistic=value,
        threshold=margin,
        p_value=p_value,
    )


def _samples(count: int) -> str:
    return "one deleted sample" if count == 1 else f"{count} deleted samples"
