"""HARD: whether everything that the policy asks about was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcu_core.judging.case import FEW_SAMPLES, PRIMARY_TESTS, Case, finding, missing, p_of, share_of
from mcu_core.report.evidence import Group, Result, Role
from mcu_core.report.judgement import Finding, ReasonCode, Stage
from mcu_core.report.parts import UtilityLoss

HARD = Stage.HARD
ROUNDING = 1e-9
"""By which a level may miss 1 - alpha."""


@dataclass(frozen=True, slots=True)
class EveryTestMade:
    """Primary tests and controls are there, of the right model, on the plan's signal, once each and in order."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Look for every p-value that a decision rests on."""
        evidence = case.evidence
        families = {
            "primary": (evidence.primary, Role.CANDIDATE),
            "positive_control": (evidence.positive_control, Role.ORIGINAL),
            "negative_control": (evidence.negative_control, Role.CANDIDATE),
        }
        lacking = [
            missing(f"measured.{name}.{test}", HARD, f"{test} of the {name.replace('_', ' ')}")
            for name, (results, role) in families.items()
            for test in _lacking(results, role, case)
        ]
        if blind_baseline_lacking(case):
            lacking.append(missing("measured.blind_baseline", HARD, "the comparison that sees no model"))
        if p_of(evidence.calibration) is None:
            lacking.append(missing("measured.calibration", HARD, "the calibration of its p-values"))
        return tuple(lacking) or (finding("measured.tests", HARD, None, "Every test of the policy was made."),)


@dataclass(frozen=True, slots=True)
class CanariesMeasured:
    """The canaries of the plan, and no others, were measured."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the plan's canaries with those of the results."""
        planned, found = case.plan.canaries, case.evidence.canaries
        if planned is None:
            failed = None if found is None else ReasonCode.PLAN_MISMATCH
            return (finding("measured.canaries", HARD, failed, "The plan has no canaries."),)
        if found is None:
            return (missing("measured.canaries", HARD, "the canaries of the plan"),)
        tests = (
            (found.original, Role.ORIGINAL),
            (found.one_run_original, Role.ORIGINAL),
            (found.candidate, Role.CANDIDATE),
            (found.one_run, Role.CANDIDATE),
        )
        values = (share_of(found.original), share_of(found.candidate))
        if None in values or any(result.role is not role or p_of(result) is None for result, role in tests):
            return (missing("measured.canaries", HARD, "a test of the plan's canaries"),)
        same = all(
            (result.forget_count, result.other_count) == (planned.included, planned.excluded)
            for result in (found.original, found.candidate)
        )
        text = f"The plan has {planned.included} planted canaries and {planned.excluded} that were never trained on."
        return (finding("measured.canaries", HARD, None if same else ReasonCode.PLAN_MISMATCH, text),)


@dataclass(frozen=True, slots=True)
class HarmMeasured:
    """What the unlearning may have cost was measured: utility, exposure, earlier deletions, a quick relearning."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Look for every number that a decision rests on."""
        return tuple(missing(f"measured.{name}", HARD, what) for name, what in _harm_lacking(case)) or (
            finding("measured.harm", HARD, None, "Every harm of the policy was measured."),
        )


def blind_baseline_lacking(case: Case) -> bool:
    """Return whether the blind baseline has no p-value without a reason that the number of samples excuses.

    A classifier cannot be fitted to fewer than ten deleted samples.
    """
    result = case.evidence.blind_baseline
    excused = result.not_estimable is not None and case.plan.forget_count < FEW_SAMPLES
    return p_of(result) is None and not excused


def earlier_forgotten_lacking(case: Case) -> bool:
    """Return whether samples were forgotten earlier without an AUC that tells how they stand now."""
    result = case.evidence.forgotten_before
    if result is None:
        return case.evidence.facts.counts.forgotten_before > 0
    return share_of(result) is None


def loss_of(case: Case, group: Group) -> UtilityLoss | None:
    """Return the loss of accuracy on a part of the data; `None` where its bound is missing or holds at a lower level.

    The level must be at least 1 - alpha: that of the plan's intervals is a setting of the run.
    """
    loss = case.evidence.utility.get(group)
    return None if loss is None or not 1.0 - case.policy.alpha - ROUNDING <= loss.level < 1.0 else loss


def _lacking(results: Sequence[Result], role: Role, case: Case) -> Iterator[str]:
    names = [result.name for result in results]
    by_name = {result.name: result for result in results}
    for test in PRIMARY_TESTS:
        result = by_name.get(test)
        if result is None or p_of(result) is None or share_of(result) is None:
            yield test
        elif result.role is not role or result.signal is not case.plan.primary_signal:
            yield f"{test} of that model on the planned signal"
    if len(names) == len(by_name) == len(PRIMARY_TESTS) and set(names) == set(PRIMARY_TESTS):
        if tuple(names) != PRIMARY_TESTS:
            yield "the order"
    elif set(PRIMARY_TESTS) <= set(names):
        # A further test would lower Holm's level for the others.
        yield "just the three tests"


def _harm_lacking(case: Case) -> Iterator[tuple[str, str]]:
    evidence = case.evidence
    for group in (Group.TEST, Group.RETAIN):
        if loss_of(case, group) is None:
            yield f"utility.{group.value}", f"an upper bound of the loss of accuracy on D_{group.value[0]}"
    if earlier_forgotten_lacking(case):
        yield "forgotten_before", "how samples that were forgotten earlier stand now"
    if evidence.relearned.role is not Role.RELEARNED or p_of(evidence.relearned) is None:
        yield "relearned", "the model after one epoch on the retained data"
    if share_of(evidence.relearned) is None:
        yield "relearned.auc", "the AUC after one epoch on the retained data"
    roles = tuple(result.role for result in evidence.retained_exposure)
    if roles != (Role.ORIGINAL, Role.CANDIDATE) or any(share_of(each) is None for each in evidence.retained_exposure):
        yield "retained_exposure", "how exposed the retained people are, before and after"
    if not 0.0 <= evidence.individuals.smallest <= 1.0:
        yield "individuals", "the deleted samples one by one"
