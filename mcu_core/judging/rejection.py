"""REJECT: whether a trace was found, the model lost too much, or earlier deletions came back."""

from dataclasses import dataclass

from mcu_core.judging.case import FEW_SAMPLES, Case, finding, missing, shown
from mcu_core.judging.completeness import earlier_forgotten_lacking, loss_of
from mcu_core.judging.detection import power_of
from mcu_core.judging.equivalence import interval_at
from mcu_core.judging.holm import adjusted_of
from mcu_core.report.evidence import Group, Result
from mcu_core.report.judgement import Finding, ReasonCode, Stage

REJECT = Stage.REJECT


@dataclass(frozen=True, slots=True)
class NoTraceFound:
    """No primary test is significant: two-sided score, both tails and, where there are canaries, theirs (Holm)."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Test the candidate at the level of this attempt."""
        tests, adjusted = case.candidate_tests, adjusted_of(case.candidate_tests)
        if adjusted is None:
            return (missing("primary", REJECT, "a primary test of the candidate"),)
        canary = case.evidence.canaries.candidate if case.evidence.canaries else None
        return tuple(
            _trace(case, result, p_value, is_canary=result is canary)
            for result, p_value in zip(tests, adjusted, strict=True)
        )


@dataclass(frozen=True, slots=True)
class AccuracyKept:
    """The upper bound of the loss of accuracy is within the margin."""

    group: Group
    """D_t or D_r."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the bound with the margin."""
        policy, name = case.policy, f"utility.{self.group.value}"
        margin, code, where = (
            (policy.test_accuracy_loss_margin, ReasonCode.TEST_ACCURACY_LOST, "new data")
            if self.group is Group.TEST
            else (policy.retain_accuracy_loss_margin, ReasonCode.RETAIN_ACCURACY_LOST, "the retained data")
        )
        loss = loss_of(case, self.group)
        if loss is None:
            return (missing(name, REJECT, f"an upper bound of the loss of accuracy on {where}"),)
        lost = loss.upper > margin
        text = (
            f"Accuracy on {where} may have fallen by {loss.upper:.2%} (upper bound); the policy allows {margin:.2%}."
            if lost
            else f"Accuracy on {where} fell by at most {loss.upper:.2%} (upper bound, {margin:.2%} allowed)."
        )
        return (finding(name, REJECT, code if lost else None, text, statistic=loss.upper, threshold=margin),)


@dataclass(frozen=True, slots=True)
class EarlierStayForgotten:
    """What earlier releases forgot did not come back: its AUC's interval is not wholly above .5 + margin."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the interval's lower end with the margin."""
        result, name = case.evidence.forgotten_before, "forgotten_before"
        if earlier_forgotten_lacking(case):
            return (missing(name, REJECT, "how samples that were forgotten earlier stand now"),)
        if result is None:
            return (finding(name, REJECT, None, "Nothing was forgotten before this run."),)
        interval, threshold = interval_at(result, 1.0 - 2.0 * case.alpha), 0.5 + case.policy.margin
        if interval is None and result.forget_count < FEW_SAMPLES:
            text = f"Too few samples ({result.forget_count}) were forgotten before to say how they stand now."
            return (finding(name, REJECT, None, text, statistic=result.value, threshold=threshold),)
        if interval is None:
            return (missing(name, REJECT, "an interval of how samples that were forgotten earlier stand now"),)
        back = interval[0] > threshold
        text = (
            f"Samples that were forgotten earlier came back: their AUC is at least {interval[0]:.3f}."
            if back
            else f"Samples that were forgotten earlier did not come back (AUC {result.value:.3f})."
        )
        failed = ReasonCode.EARLIER_FORGOTTEN_CAME_BACK if back else None
        return (finding(name, REJECT, failed, text, statistic=interval[0], threshold=threshold),)


def _trace(case: Case, result: Result, p_value: float, *, is_canary: bool) -> Finding:
    name = "primary.canary" if is_canary else f"primary.{result.name}"
    value = result.value if result.value is not None else 0.5
    code, found, nothing = _words(result, value, is_canary=is_canary)
    significant = p_value <= case.alpha
    text = f"{found if significant else nothing} (adjusted {shown(p_value)})."
    return finding(
        name,
        REJECT,
        code if significant else None,
        text,
        statistic=result.value,
        threshold=case.alpha,
        p_value=p_value,
        power=power_of(case, result),
    )


def _words(result: Result, value: float, *, is_canary: bool) -> tuple[ReasonCode, str, str]:
    """Return the code of a failure, what it says, and what is said otherwise."""
    if is_canary:
        unlike = f"The canaries were not told from those that were never trained on: AUC {value:.3f}"
        if value >= 0.5:
            return ReasonCode.CANARIES_REMEMBERED, f"The canaries are still remembered: AUC {value:.3f}", unlike
        return ReasonCode.CANARIES_OVER_FORGOTTEN, f"The canaries stand out as over-forgotten: AUC {value:.3f}", unlike
    match result.name:
        case "tail.upper":
            code, side = ReasonCode.UPPER_TAIL_FULL, "more"
        case "tail.lower":
            code, side = ReasonCode.LOWER_TAIL_FULL, "less"
        case _ if value >= 0.5:
            found = f"The deleted samples still look like training data: AUC {value:.3f}"
            return ReasonCode.AUC_ABOVE, found, _untold(value)
        case _:
            found = f"The deleted samples stand out as over-forgotten: AUC {value:.3f}"
            return ReasonCode.AUC_BELOW, found, _untold(value)
    found = f"Too many deleted samples look {side} like training data than nearly all unseen ones: {value:.1%}"
    nothing = f"No more deleted samples than chance look {side} like training data than nearly all unseen ones"
    return code, found, f"{nothing}: {value:.1%}"


def _untold(value: float) -> str:
    return f"The deleted samples were not told from unseen ones: AUC {value:.3f}"
