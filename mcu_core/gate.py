"""The gate: measurements and a policy in, a verdict out. Pure; needs neither torch nor the data.

The worker calls it to write the report, the control plane calls it again before it publishes, and both must agree.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import partial
from statistics import NormalDist
from typing import Annotated

import rfc8785
from pydantic import Field

from mcu_core.config import Fraction, Setting
from mcu_core.report import (
    AucEstimate,
    GateTest,
    Judgement,
    Measurements,
    ModelMeasurements,
    Reason,
    ReasonCode,
    TailTest,
    Verdict,
)


class GatePolicy(Setting):
    """Thresholds of the gate. Its digest is in every report."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of this set of thresholds, such as `2026-11`."""
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Level of the first attempt, two-sided."""
    alpha_decay: Annotated[float, Field(gt=0.0, le=1.0)]
    """Factor on alpha at each further attempt."""
    auc_margin: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Largest distance of the AUC from .5 that may pass although it is significant."""
    auc_margin_share_of_original: Fraction
    """The same as a share of the original's own excess over .5; the smaller of the two is in effect."""
    tail_level: Annotated[float, Field(gt=0.0, lt=0.5)]
    """Share of non-members beyond each tail's threshold."""
    test_accuracy_loss_margin: Fraction
    """Largest loss of test accuracy, as a fraction, that the upper bound may reach."""

    def alpha_at(self, attempt: int) -> float:
        """Return the level of an attempt, counted from 0: α · decay^attempt."""
        return self.alpha * self.alpha_decay**attempt

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the policy's canonical JSON (RFC 8785)."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()


def judge(measurements: Measurements, policy: GatePolicy, *, attempt: int) -> Judgement:
    """Decide whether a candidate may be published.

    1. INVALID unless every measurement of the policy is there and the weights changed.
    2. VACUOUS when the same membership tests do not reject the original: nothing could have been seen.
    3. REJECT when AUC, a tail or the loss of test accuracy is beyond its threshold; otherwise ACCEPT.

    Args:
        measurements: of one attempt; the original first, the candidate last.
        policy: thresholds.
        attempt: audited candidates of this run before this one, so that the level is α · decay^attempt.

    Returns:
        The verdict with every test that led to it.
    """
    alpha = policy.alpha_at(attempt)
    margin = auc_margin(measurements.original.auc.value, policy)
    judged = partial(
        Judgement,
        alpha=alpha,
        auc_margin=margin,
        positive_control_power=auc_power(measurements.original.auc, alpha=alpha, margin=margin),
    )

    # 1. Validity
    missing = _missing(measurements, policy)
    if missing:
        return judged(verdict=Verdict.INVALID, reasons=missing, tests=())

    # 2. Positive control
    control = [
        test.model_copy(update={"name": f"positive_control.{test.name}"})
        for test in membership_tests(measurements.original, alpha=alpha, margin=margin)
    ]
    if not any(test.failed for test in control):
        text = (
            "The same tests do not tell the deleted samples from unseen ones even on the original model "
            f"(AUC {measurements.original.auc.value:.3f}), so passing them shows nothing."
        )
        reasons: tuple[Reason, ...] = (Reason(code=ReasonCode.ORIGINAL_NOT_REJECTED, text=text),)
        return judged(verdict=Verdict.VACUOUS, reasons=reasons, tests=tuple(control))

    # 3. The candidate
    tests = [*membership_tests(measurements.candidate, alpha=alpha, margin=margin), _utility_test(measurements, policy)]
    reasons = tuple(_reason(test, measurements.candidate) for test in tests if test.failed)
    verdict = Verdict.REJECT if reasons else Verdict.ACCEPT
    return judged(verdict=verdict, reasons=reasons, tests=(*control, *tests))


def auc_margin(original_auc: float, policy: GatePolicy) -> float:
    """Return δ = min(margin, share · |AUC_original - .5|): an absolute margin alone would pass a weak original."""
    return min(policy.auc_margin, policy.auc_margin_share_of_original * abs(original_auc - 0.5))


def auc_power(auc: AucEstimate, *, alpha: float, margin: float) -> float:
    """Return the chance that the gate's AUC test fails a model whose true AUC is the measured one.

    With n and m samples the test fails an estimate beyond .5 ± max(δ, z₁₋α⸝₂ · s₀), where s₀² = (n + m + 1) / 12nm is
    the variance under exchangeability; the estimate is taken as normal with the variance of Hanley and McNeil (1982),
    [A(1 - A) + (n - 1)(Q₁ - A²) + (m - 1)(Q₂ - A²)] / nm with Q₁ = A / (2 - A) and Q₂ = 2A² / (1 + A).

    Args:
        auc: the estimate, with the two sample sizes.
        alpha: two-sided level.
        margin: δ.

    Returns:
        A probability, to six digits so that every platform's error function gives the same; 0 where a set is empty.
    """
    n, m, area = auc.forget_count, auc.nonmember_count, auc.value
    if n * m == 0:
        return 0.0
    z = NormalDist().inv_cdf(1.0 - alpha / 2.0)
    critical = max(margin, z * math.sqrt((n + m + 1) / (12.0 * n * m)))
    q_1, q_2 = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = (area * (1.0 - area) + (n - 1) * (q_1 - area**2) + (m - 1) * (q_2 - area**2)) / (n * m)
    if variance <= 0.0:
        return float(abs(area - 0.5) > critical)
    estimate = NormalDist(area, math.sqrt(variance))
    return round(estimate.cdf(0.5 - critical) + 1.0 - estimate.cdf(0.5 + critical), 6)


def membership_tests(model: ModelMeasurements, *, alpha: float, margin: float) -> tuple[GateTest, ...]:
    """Return the two-sided AUC test and the two tail tests (Holm over the tails) of one model."""
    excess = model.auc.value - 0.5
    auc = GateTest(
        name="auc",
        statistic=model.auc.value,
        p_value=model.auc.p_value,
        threshold=margin,
        failed=model.auc.p_value < alpha and abs(excess) > margin,
    )
    rejected = holm([tail.p_value for tail in model.tails], alpha)
    tails = tuple(_tail_test(tail, alpha, too_full) for tail, too_full in zip(model.tails, rejected, strict=True))
    return (auc, *tails)


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return which hypotheses Holm's step-down procedure rejects at family-wise level alpha.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def _tail_test(tail: TailTest, alpha: float, too_full: bool) -> GateTest:
    return GateTest(
        name=f"{tail.side}_tail", statistic=tail.share, p_value=tail.p_value, threshold=alpha, failed=too_full
    )


def _utility_test(measurements: Measurements, policy: GatePolicy) -> GateTest:
    upper = measurements.utility_loss.upper
    margin = policy.test_accuracy_loss_margin
    return GateTest(name="test_accuracy_loss", statistic=upper, p_value=None, threshold=margin, failed=upper > margin)


def _missing(measurements: Measurements, policy: GatePolicy) -> tuple[Reason, ...]:
    reasons = []
    for model in (measurements.original, measurements.candidate):
        # Once each: a further tail would lower Holm's level for the others.
        if sorted(tail.side for tail in model.tails) != ["lower", "upper"]:
            reasons.append(_missing_reason(f"both tails of the {model.name.value} model"))
        if any(tail.level != policy.tail_level for tail in model.tails):
            reasons.append(
                _missing_reason(f"tails at the policy's level {policy.tail_level} of the {model.name.value}")
            )
    if len(measurements.models) < 2:
        reasons.append(_missing_reason("the candidate"))
    elif (
        measurements.candidate.digest == measurements.original.digest
        or measurements.weight_change.changed_elements == 0
    ):
        text = "The candidate's weights are the original's: nothing was unlearned."
        reasons.append(Reason(code=ReasonCode.WEIGHTS_UNCHANGED, text=text))
    return tuple(reasons)


def _missing_reason(what: str) -> Reason:
    return Reason(code=ReasonCode.MEASUREMENT_MISSING, text=f"The report lacks {what}.")


def _reason(test: GateTest, candidate: ModelMeasurements) -> Reason:
    match test.name:
        case "auc" if candidate.auc.value > 0.5:
            code = ReasonCode.AUC_ABOVE_MARGIN
            text = (
                f"The deleted samples still look like training data: AUC {test.statistic:.3f} "
                f"(p {candidate.auc.p_value:.2g}) lies more than {test.threshold:.3f} above .5."
            )
        case "auc":
            code = ReasonCode.AUC_BELOW_MARGIN
            text = (
                f"The deleted samples stand out as over-forgotten: AUC {test.statistic:.3f} "
                f"(p {candidate.auc.p_value:.2g}) lies more than {test.threshold:.3f} below .5."
            )
        case "upper_tail" | "lower_tail":
            upper = test.name == "upper_tail"
            code = ReasonCode.UPPER_TAIL_FULL if upper else ReasonCode.LOWER_TAIL_FULL
            text = (
                f"Too many deleted samples are answered {'more' if upper else 'less'} confidently than unseen ones: "
                f"{test.statistic:.1%} lie in the {'upper' if upper else 'lower'} tail (p {test.p_value:.2g})."
            )
        case _:
            code = ReasonCode.TEST_ACCURACY_LOST
            text = (
                f"Test accuracy may have fallen by {test.statistic:.2%} (upper bound), "
                f"more than the {test.threshold:.2%} that the policy allows."
            )
    return Reason(code=code, text=text)
