"""HARD: whether the measurements are of this candidate, this plan and this policy. Nobody can override these."""

import math
from dataclasses import dataclass

from mcu_core.judging.case import Case, finding, missing
from mcu_core.report.evidence import BatchNormSource, Role
from mcu_core.report.judgement import Finding, ReasonCode, Stage

HARD = Stage.HARD
ARITHMETIC = 0.01
"""By which an accuracy may differ between the precision of training and the audit's float32."""
DEVIATIONS = 5.0
"""Of a seeded sample of D_r: one honest audit in a million lies further off."""
FROM_RETAINED = frozenset({BatchNormSource.NOT_PRESENT, BatchNormSource.REPRODUCED, BatchNormSource.TRAINED})


@dataclass(frozen=True, slots=True)
class PlanFollowed:
    """The scores were made for this plan."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the plan's digest with the one that the scores carry."""
        same = case.evidence.facts.plan == case.plan.digest
        text = "The scores were made for this plan." if same else "The scores were made for another plan."
        return (finding("plan.digest", HARD, None if same else ReasonCode.PLAN_MISMATCH, text),)


@dataclass(frozen=True, slots=True)
class PolicyFollowed:
    """The thresholds are those that the plan names, and the tails lie where they say."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the policy's digest and tail level with the plan's."""
        plan, policy = case.plan, case.policy
        same = plan.policy == policy.digest
        text = "The thresholds are those of the plan." if same else "The thresholds are not those of the plan."
        level = plan.tail_level == policy.tail_level
        tails = (
            f"The tails begin at {plan.tail_level:.2%} of the unseen samples; the policy says {policy.tail_level:.2%}."
        )
        return (
            finding("plan.policy", HARD, None if same else ReasonCode.PLAN_MISMATCH, text),
            finding("plan.tail_level", HARD, None if level else ReasonCode.PLAN_MISMATCH, tails),
        )


@dataclass(frozen=True, slots=True)
class PlanBeforeRun:
    """The plan was fixed before anything was unlearned."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare both times."""
        before = case.evidence.facts.started_at > case.plan.created_at
        text = "The plan is older than the run." if before else "The plan is not older than the run."
        return (finding("plan.before_run", HARD, None if before else ReasonCode.PLAN_NOT_BEFORE_RUN, text),)


@dataclass(frozen=True, slots=True)
class ModelsNamed:
    """The original is the plan's, and the first and the last row of the report are original and candidate."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare digests."""
        digests, rows = case.evidence.facts.digests, case.evidence.models
        findings = []
        for role, row in ((Role.ORIGINAL, rows[0]), (Role.CANDIDATE, rows[-1])):
            check = f"model.{role.value}"
            if role not in digests:
                findings.append(missing(check, HARD, f"the digest of the {role.value}"))
                continue
            same = row.role is role and row.digest == digests[role]
            if role is Role.ORIGINAL:
                same = same and digests[role] == case.plan.base_model
            text = f"The {role.value} that was measured is {'' if same else 'not '}the one that the audit is about."
            findings.append(finding(check, HARD, None if same else ReasonCode.DIGEST_MISMATCH, text))
        return tuple(findings)


@dataclass(frozen=True, slots=True)
class OriginalAsBefore:
    """The original answers what was scored as it answered its training samples before the run.

    Other labels, other images or other preprocessing in the audit change that; every test would then compare numbers
    that say nothing of D_f.
    """

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare A_train, measured on all of D_f and D_r, with (n_f FA + n_r RA) / (n_f + n_r) of the scores."""
        facts, row = case.evidence.facts, case.evidence.models[0]
        forget, retain = facts.counts.forget, facts.counts.retain
        if forget + retain == 0 or row.retain_accuracy.count == 0:
            return (missing("original.answers", HARD, "the accuracy of the original on what it was trained on"),)
        share, kept, before = retain / (forget + retain), row.retain_accuracy, facts.references.train_accuracy
        scored = (1.0 - share) * (1.0 - row.unlearning_accuracy.value) + share * kept.value
        variance = max(rate * (1.0 - rate) for rate in (kept.value, min(1.0, max(0.0, before))))
        allowed = ARITHMETIC + DEVIATIONS * share * math.sqrt(variance / kept.count)
        distance = abs(scored - before)
        same = distance <= allowed
        text = (
            f"The original is right on {scored:.1%} of the scored training samples, on {before:.1%} of all before the "
            f"run{'' if same else ': other labels or images were scored'}."
        )
        failed = None if same else ReasonCode.ORIGINAL_ANSWERS_DIFFER
        return (finding("original.answers", HARD, failed, text, statistic=distance, threshold=allowed),)


@dataclass(frozen=True, slots=True)
class WeightsChanged:
    """The candidate is another model than the original."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare digests and count the changed elements."""
        facts = case.evidence.facts
        changed = facts.weight_change.changed_elements
        differs = facts.digests.get(Role.CANDIDATE) != facts.digests.get(Role.ORIGINAL) and changed > 0
        text = (
            f"{changed} of {facts.weight_change.total_elements} weights changed."
            if differs
            else "The candidate's weights are the original's: nothing was unlearned."
        )
        failed = None if differs else ReasonCode.WEIGHTS_UNCHANGED
        return (finding("weights.changed", HARD, failed, text, statistic=float(changed), threshold=0.0),)


@dataclass(frozen=True, slots=True)
class ForgetSetComplete:
    """As many samples were forgotten and scored as the requests name."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Compare the plan's count with the run's and with that of every test on D_f."""
        planned, evidence = case.plan.forget_count, case.evidence
        tests = (*evidence.primary, *evidence.positive_control)
        # Tails take one sample of each person and may count fewer.
        scored = {test.forget_count for test in tests if test.name == "auc" or test.forget_count > planned}
        counts = {evidence.facts.counts.forget, len(evidence.individuals.p_two), *scored}
        same = counts == {planned}
        text = (
            f"All {planned} samples of the requests were forgotten and scored."
            if same
            else f"The requests name {planned} samples; the audit speaks of {', '.join(map(str, sorted(counts)))}."
        )
        return (finding("forget.count", HARD, None if same else ReasonCode.FORGET_SET_MISMATCH, text),)


@dataclass(frozen=True, slots=True)
class PartsDisjoint:
    """No sample is in two parts of the data."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Read the number of shared rows."""
        shared = case.evidence.facts.shared_rows
        text = (
            "No sample is in two parts of the data."
            if shared == 0
            else f"{shared} samples are in two parts of the data: what decides may have been seen before."
        )
        failed = None if shared == 0 else ReasonCode.PARTS_OVERLAP
        return (finding("parts.disjoint", HARD, failed, text, statistic=float(shared), threshold=0.0),)


@dataclass(frozen=True, slots=True)
class BatchNormFromRetained:
    """The candidate's BatchNorm statistics come from D_r alone."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Read where they come from."""
        known = case.evidence.facts.batchnorm in FROM_RETAINED
        text = (
            "The model's running statistics hold nothing but retained data."
            if known
            else "The model's running statistics do not come from the retained data: they may hold deleted samples."
        )
        return (finding("batchnorm", HARD, None if known else ReasonCode.BATCHNORM_NOT_FROM_RETAIN, text),)
