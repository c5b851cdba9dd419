"""Everything that leaves the core as JSON: plan, evidence, judgement, report. No torch here, nor NumPy.

`report.json` is the truth; every rendering shows its numbers and no others.
"""

from mcu_core.report.document import AttemptSummary, AuditReport, Deletion, Subjects
from mcu_core.report.evidence import Evidence, Facts, Group, ModelRow, Result, Role
from mcu_core.report.judgement import Claim, Finding, Judgement, ReasonCode, Stage, Verdict
from mcu_core.report.parts import (
    AucEstimate,
    Counts,
    Digest,
    Environment,
    Estimate,
    Interval,
    MembershipAttack,
    ModelName,
    Part,
    PathPoint,
    PathwayReport,
    References,
    TailTest,
    UtilityLoss,
    WeightChange,
)
from mcu_core.report.plan import AuditPlan, CanaryPlan, ReferencesPlan, Signal

__all__ = [
    "AttemptSummary",
    "AucEstimate",
    "AuditPlan",
    "AuditReport",
    "CanaryPlan",
    "Claim",
    "Counts",
    "Deletion",
    "Digest",
    "Environment",
    "Estimate",
    "Evidence",
    "Facts",
    "Finding",
    "Group",
    "Interval",
    "Judgement",
    "MembershipAttack",
    "ModelName",
    "ModelRow",
    "Part",
    "PathPoint",
    "PathwayReport",
    "ReasonCode",
    "References",
    "ReferencesPlan",
    "Result",
    "Role",
    "Signal",
    "Stage",
    "Subjects",
    "TailTest",
    "UtilityLoss",
    "Verdict",
    "WeightChange",
]
