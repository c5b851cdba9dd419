"""One report for each verdict, decided by the gate."""

from mcu_core.judging.decide import decide
from mcu_core.report.document import AttemptSummary, AuditReport
from mcu_core.report.evidence import Evidence, Result, Role
from mcu_core.report.judgement import Verdict
from mcu_core.report.plan import AuditPlan, Signal
from tests.evidence import a_plan, a_report, an_attempt_before, an_evidence, some_facts
from tests.results import CANARY_PLAN, CLEAR, NON_MEMBERS, POLICY, primary_tests

TOO_FEW = "1 000 forget samples and 10 000 non-members are needed"
NOT_ESTIMABLE = Result(
    name="tpr.0.001",
    role=Role.CANDIDATE,
    signal=Signal.PHI,
    value=None,
    forget_count=25,
    other_count=NON_MEMBERS,
    method="clopper-pearson",
    not_estimable=TOO_FEW,
)
SECOND = a_plan(audits_before=1)
FEW = a_plan(forget_count=25)
FEW_WITH_CANARIES = a_plan(forget_count=25, canaries=CANARY_PLAN)
NEARLY = primary_tests(0.53, n=25)
"""Nothing significant, and no equivalence either."""
ONE = a_plan(forget_count=1, references=None, canaries=CANARY_PLAN)


def judged(
    plan: AuditPlan, evidence: Evidence | None = None, previous_attempts: tuple[AttemptSummary, ...] = ()
) -> AuditReport:
    """Return the report with what the gate decides."""
    found = evidence or an_evidence(plan)
    found = found.model_copy(update={"secondary": (*found.secondary, NOT_ESTIMABLE)})
    judgement = decide(found, plan, POLICY)
    return a_report(plan, found, judgement=judgement, previous_attempts=previous_attempts)


REPORTS = {
    Verdict.ACCEPT_POWERED: judged(a_plan()),
    Verdict.ACCEPT_CANARY_BACKED: judged(FEW_WITH_CANARIES, an_evidence(FEW_WITH_CANARIES, primary=NEARLY)),
    Verdict.NEEDS_REVIEW: judged(FEW, an_evidence(FEW, primary=NEARLY)),
    Verdict.REJECT: judged(
        SECOND,
        an_evidence(
            SECOND,
            primary=primary_tests(0.66, upper_p=CLEAR),
            facts=some_facts(SECOND, relearned_auc=0.72),
            test_loss_upper=0.04,
        ),
        previous_attempts=(an_attempt_before(),),
    ),
    Verdict.VACUOUS: judged(
        a_plan(), an_evidence(positive_control=primary_tests(0.505, auc_p=0.6, role=Role.ORIGINAL))
    ),
    Verdict.INVALID: judged(a_plan(), an_evidence(negative_control=primary_tests(0.7))),
}
SINGLE = judged(ONE)
"""One deleted sample."""
