"""The decision: evidence, plan and policy in, judgement out. A pure function of numbers.

On levels: attempt j is decided at alpha / 2^j. That makes a rejection harder on later attempts, but equivalence harder
as well, and only equivalence (or the canaries' interval at the same level) accepts: over all attempts of a run the
chance to accept a candidate beyond the margin is at most the sum of alpha / 2^j, below 2 alpha.
"""

from mcu_core.judging.acceptance import CanariesForgotten, Equivalent, power
from mcu_core.judging.case import AllOf, Case, failures
from mcu_core.judging.claims import claim_of, limitations
from mcu_core.judging.completeness import CanariesMeasured, EveryTestMade, HarmMeasured
from mcu_core.judging.controls import BlindToTheModel, Calibrated, OriginalRejected, UnseenNotRejected
from mcu_core.judging.detection import canary_power, trace_power
from mcu_core.judging.identity import (
    BatchNormFromRetained,
    ForgetSetComplete,
    ModelsNamed,
    OriginalAsBefore,
    PartsDisjoint,
    PlanBeforeRun,
    PlanFollowed,
    PolicyFollowed,
    WeightsChanged,
)
from mcu_core.judging.policy import AuditPolicy
from mcu_core.judging.rejection import AccuracyKept, EarlierStayForgotten, NoTraceFound
from mcu_core.judging.review import NoIndividualExtreme, NotRelearnedQuickly, RetainedNotMoreExposed
from mcu_core.report.evidence import Evidence, Group
from mcu_core.report.judgement import Claim, Finding, Judgement, ReasonCode, Stage, Verdict
from mcu_core.report.plan import AuditPlan

HARD = AllOf(
    Stage.HARD,
    (
        PlanFollowed(),
        PolicyFollowed(),
        PlanBeforeRun(),
        ModelsNamed(),
        OriginalAsBefore(),
        WeightsChanged(),
        ForgetSetComplete(),
        PartsDisjoint(),
        BatchNormFromRetained(),
        EveryTestMade(),
        CanariesMeasured(),
        HarmMeasured(),
    ),
)
VALIDITY = AllOf(Stage.VALIDITY, (OriginalRejected(), UnseenNotRejected(), BlindToTheModel(), Calibrated()))
REJECT = AllOf(
    Stage.REJECT, (NoTraceFound(), AccuracyKept(Group.TEST), AccuracyKept(Group.RETAIN), EarlierStayForgotten())
)
REVIEW = AllOf(Stage.REVIEW, (NotRelearnedQuickly(), RetainedNotMoreExposed(), NoIndividualExtreme()))
EQUIVALENCE = AllOf(Stage.ACCEPT, (Equivalent(),))
CANARIES = AllOf(Stage.ACCEPT, (CanariesForgotten(),))


def decide(evidence: Evidence, plan: AuditPlan, policy: AuditPolicy) -> Judgement:
    """Decide whether a candidate may be published.

    1. HARD: INVALID unless plan, policy, models, data and measurements belong together and are complete.
    2. VALIDITY: INVALID where the instrument sees what is not there, VACUOUS where it does not see the original's
       memory.
    3. REJECT where a trace is found, accuracy is lost or an earlier deletion came back.
    4. ACCEPT_POWERED where equivalence is shown and nothing of stage REVIEW fails.
    5. ACCEPT_CANARY_BACKED where the audit had too few samples to show equivalence, the canaries show it and nothing
       of stage REVIEW fails.
    6. NEEDS_REVIEW otherwise.

    A stage that fails ends the procedure: what comes after it was not checked and is not in the findings.

    Args:
        evidence: the numbers, as STATS computes them from the scores.
        plan: what was fixed before the run.
        policy: the thresholds; its digest must be the plan's.

    Returns:
        The judgement with every finding that led to it.
    """
    case = Case(evidence=evidence, plan=plan, policy=policy)

    # 1. HARD
    findings = HARD.check(case)
    if failed := failures(findings):
        return _judged(case, Verdict.INVALID, failed, findings)

    # 2. VALIDITY
    controls = VALIDITY.check(case)
    findings = (*findings, *controls)
    if failed := failures(controls):
        vacuous = all(each.code is ReasonCode.ORIGINAL_NOT_REJECTED for each in failed)
        return _judged(case, Verdict.VACUOUS if vacuous else Verdict.INVALID, failed, findings)

    # 3. REJECT
    rejections = REJECT.check(case)
    findings = (*findings, *rejections)
    if failed := failures(rejections):
        return _judged(case, Verdict.REJECT, failed, findings)

    # 4. ACCEPT_POWERED
    reviews, equivalence = REVIEW.check(case), EQUIVALENCE.check(case)
    findings = (*findings, *reviews, *equivalence)
    blocking, unproven = failures(reviews), failures(equivalence)
    if not unproven and not blocking:
        return _judged(case, Verdict.ACCEPT_POWERED, equivalence, findings)

    # 5. ACCEPT_CANARY_BACKED
    if unproven and evidence.canaries is not None and power(case) < policy.least_power:
        canaries = CANARIES.check(case)
        findings = (*findings, *canaries)
        if not failures(canaries) and not blocking:
            return _judged(case, Verdict.ACCEPT_CANARY_BACKED, canaries, findings)
        unproven = (*unproven, *failures(canaries))

    # 6. NEEDS_REVIEW
    return _judged(case, Verdict.NEEDS_REVIEW, (*blocking, *unproven), findings)


def _judged(case: Case, verdict: Verdict, reasons: tuple[Finding, ...], findings: tuple[Finding, ...]) -> Judgement:
    claim = claim_of(verdict, case)
    return Judgement(
        verdict=verdict,
        claim=claim,
        claim_margin=case.margin if claim is Claim.EQUIVALENT_WITHIN else None,
        reasons=reasons,
        findings=findings,
        alpha=case.alpha,
        margin=case.margin,
        positive_control_power=max(trace_power(case), canary_power(case)),
        limitations=limitations(case),
    )
