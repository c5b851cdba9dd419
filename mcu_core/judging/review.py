"""REVIEW: what does not prove a trace but keeps a person from being left out of the decision."""

from dataclasses import dataclass

from mcu_core.judging.case import Case, finding, missing, p_of, share_of, shown
from mcu_core.judging.equivalence import increase_lower_bound
from mcu_core.report.judgement import Finding, ReasonCode, Stage

REVIEW = Stage.REVIEW


@dataclass(frozen=True, slots=True)
class NotRelearnedQuickly:
    """One epoch on D_r does not bring D_f back: its AUC is not significantly above .5 and beyond the margin."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the relearned candidate's AUC with the margin, its p-value with the level of controls."""
        result, margin = case.evidence.relearned, case.margin
        value, p_value = share_of(result), p_of(result)
        if value is None or p_value is None or margin is None:
            return (missing("relearned", REVIEW, "the model after one epoch on the retained data"),)
        quickly = p_value < case.policy.control_alpha and value > 0.5 + margin
        text = (
            f"One epoch on the retained data brings the deleted samples back: AUC {value:.3f} ({shown(p_value)})."
            if quickly
            else f"One epoch on the retained data does not bring the deleted samples back: AUC {value:.3f}, "
            f"not significantly more than {margin:.3f} above one half."
        )
        failed = ReasonCode.RELEARNED_QUICKLY if quickly else None
        return (finding("relearned", REVIEW, failed, text, statistic=value, threshold=0.5 + margin, p_value=p_value),)


@dataclass(frozen=True, slots=True)
class RetainedNotMoreExposed:
    """Retained people are not easier to recognise than before: the increase's lower bound is within the margin."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the lower bound of the increase of AUC with the margin."""
        before, after = case.evidence.retained_exposure
        lower = increase_lower_bound(before, after, 1.0 - 2.0 * case.alpha)
        if lower is None or before.value is None or after.value is None:
            return (missing("retained_exposure", REVIEW, "an interval of how exposed the retained people are"),)
        margin = case.policy.retained_exposure_margin
        more = lower > margin
        values = f"AUC {before.value:.3f} before, {after.value:.3f} after"
        text = (
            f"The people who stay are easier to recognise than before: {values}, an increase of {lower:.3f} or more."
            if more
            else f"The people who stay were not found easier to recognise than before, beyond {margin:.3f}: {values}."
        )
        failed = ReasonCode.RETAINED_MORE_EXPOSED if more else None
        return (finding("retained_exposure", REVIEW, failed, text, statistic=lower, threshold=margin),)


@dataclass(frozen=True, slots=True)
class NoIndividualExtreme:
    """No deleted sample on its own is answered unlike the unseen samples of its class."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the smallest adjusted p-value with the level of this attempt."""
        smallest = case.evidence.individuals.smallest
        if not 0.0 <= smallest <= 1.0:
            return (missing("individuals", REVIEW, "the deleted samples one by one"),)
        extreme = smallest < case.alpha
        text = (
            f"A deleted sample is answered unlike every unseen one of its class (adjusted {shown(smallest)})."
            if extreme
            else f"No single deleted sample stands out from the unseen ones of its class (adjusted {shown(smallest)})."
        )
        failed = ReasonCode.INDIVIDUAL_EXTREME if extreme else None
        return (finding("individuals", REVIEW, failed, text, threshold=case.alpha, p_value=smallest),)
