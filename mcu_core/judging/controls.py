"""VALIDITY: whether the instrument works: it sees what is there, and nothing where nothing is."""

from dataclasses import dataclass

from mcu_core.judging.case import Case, finding, missing, p_of, shown
from mcu_core.judging.holm import adjusted_of
from mcu_core.report.evidence import Result
from mcu_core.report.judgement import Finding, ReasonCode, Stage

VALIDITY = Stage.VALIDITY


@dataclass(frozen=True, slots=True)
class OriginalRejected:
    """Positive control: the primary tests reject the original, on D_f or on the canaries, as one that knows them.

    An original that D_f looks less seen to than unseen samples shows how hard D_f is and no memory: what passes there
    would pass for any reason.
    """

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Test the original as the candidate is tested."""
        adjusted = adjusted_of(case.original_tests)
        if adjusted is None or case.original_auc is None:
            return (missing("positive_control", VALIDITY, "the tests of the original"),)
        smallest = min(
            (p for result, p in zip(case.original_tests, adjusted, strict=True) if _remembers(result)), default=1.0
        )
        seen = smallest <= case.alpha
        text = (
            f"The tests see the deleted data in the original model (AUC {case.original_auc:.3f}, "
            f"smallest adjusted {shown(smallest)}), so they could have seen it in the new one."
            if seen
            else "The tests do not see the deleted data even in the original model "
            f"(AUC {case.original_auc:.3f}, smallest adjusted {shown(smallest)}), so passing them shows nothing."
        )
        failed = None if seen else ReasonCode.ORIGINAL_NOT_REJECTED
        return (
            finding(
                "positive_control",
                VALIDITY,
                failed,
                text,
                statistic=case.original_auc,
                threshold=case.alpha,
                p_value=smallest,
            ),
        )


def _remembers(result: Result) -> bool:
    """Return whether a test found the deleted samples on the side of training data, if anything."""
    match result.name:
        case "tail.upper":
            return True
        case "tail.lower":
            return False
        case _:
            return result.value is not None and result.value > 0.5


@dataclass(frozen=True, slots=True)
class UnseenNotRejected:
    """Negative control: unseen samples in D_f's place are not rejected."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Test them as D_f is tested, at the level of controls."""
        adjusted = adjusted_of(case.evidence.negative_control)
        if adjusted is None:
            return (missing("negative_control", VALIDITY, "the tests of unseen samples in D_f's place"),)
        smallest, level = min(adjusted), case.policy.control_alpha
        off = smallest <= level
        text = (
            f"Unseen samples in the place of the deleted ones are told from other unseen ones ({shown(smallest)}): "
            "the comparison itself is off."
            if off
            else "Unseen samples in the place of the deleted ones show nothing, as they should."
        )
        failed = ReasonCode.NEGATIVE_CONTROL_REJECTED if off else None
        return (finding("negative_control", VALIDITY, failed, text, threshold=level, p_value=smallest),)


@dataclass(frozen=True, slots=True)
class BlindToTheModel:
    """Blind baseline: who sees no model cannot tell D_f from the unseen samples."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Read its p-value."""
        result, level = case.evidence.blind_baseline, case.policy.control_alpha
        p_value = p_of(result)
        if p_value is None:
            return (missing("blind_baseline", VALIDITY, "the comparison that sees no model"),)
        off = p_value < level
        text = (
            f"Deleted and unseen samples differ already without any model ({shown(p_value)}): "
            "what the tests see need not be memory."
            if off
            else "Without a model, deleted and unseen samples cannot be told apart, as it should be."
        )
        failed = ReasonCode.BLIND_BASELINE_TELLS_APART if off else None
        return (
            finding("blind_baseline", VALIDITY, failed, text, statistic=result.value, threshold=level, p_value=p_value),
        )


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Calibration: p-values of unseen samples are uniform."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Read the p-value of their uniformity."""
        result, level = case.evidence.calibration, case.policy.control_alpha
        p_value = p_of(result)
        if p_value is None:
            return (missing("calibration", VALIDITY, "the calibration of its p-values"),)
        off = p_value < level
        text = (
            f"p-values of unseen samples are not uniform ({shown(p_value)}): the audit's p-values cannot be trusted."
            if off
            else "p-values of unseen samples are uniform, as they should be."
        )
        failed = ReasonCode.NOT_CALIBRATED if off else None
        return (
            finding("calibration", VALIDITY, failed, text, statistic=result.value, threshold=level, p_value=p_value),
        )
