"""What every check is given, what it gives back, and how checks are put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.evidence import Evidence, Result
from mcu_core.report.judgement import Finding, ReasonCode, Stage
from mcu_core.report.plan import AuditPlan

PRIMARY_TESTS = ("auc", "tail.upper", "tail.lower")
"""Names of the primary tests on D_f, in their order; the canaries' is a fourth where there are canaries."""
FEW_SAMPLES = 10
"""Independent samples below which an AUC has exact p-values and no interval: the design's limit for DeLong's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An audit that is to be decided."""

    evidence: Evidence
    plan: AuditPlan
    policy: AuditPolicy

    @property
    def alpha(self) -> float:
        """Return the level of this attempt: alpha / 2^j with a decay of one half."""
        return self.policy.alpha_at(self.plan.audits_before)

    @property
    def size(self) -> tuple[int, int]:
        """Return n and m in independent units: where a person has several samples, the tails count one of each."""
        tests = self.evidence.primary
        deleted = min((result.forget_count for result in tests), default=0)
        return deleted, min((result.other_count for result in tests), default=0)

    @property
    def original_auc(self) -> float | None:
        """Return the original's AUC on D_f and the plan's primary signal, where it was measured."""
        values = [result.value for result in self.evidence.positive_control if result.name == "auc"]
        return values[0] if values else None

    @property
    def margin(self) -> float | None:
        """Return delta = min(margin, margin_large if n >= margin_large_from, share * excess).

        The original's excess is AUC_original - .5; one below .5 has none.
        """
        if self.original_auc is None:
            return None
        policy = self.policy
        absolute = policy.margin
        if self.plan.forget_count >= policy.margin_large_from:
            absolute = min(absolute, policy.margin_large)
        return min(absolute, policy.margin_share_of_original * max(0.0, self.original_auc - 0.5))

    @property
    def original_tests(self) -> tuple[Result, ...]:
        """Return the primary tests of the original, that of its canaries last."""
        canaries = self.evidence.canaries
        return self.evidence.positive_control if canaries is None else (
            *self.evidence.positive_control, canaries.original
        )  # fmt: skip

    @property
    def candidate_tests(self) -> tuple[Result, ...]:
        """Return the primary tests of the candidate, that of its canaries last."""
        canaries = self.evidence.canaries
        return self.evidence.primary if canaries is None else (*self.evidence.primary, canaries.candidate)


class Check(Protocol):
    """One rule of the gate."""

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Return what was found, at least one finding."""
        ...


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every check of a stage; without checks, or where a check finds nothing, it fails."""

    stage: Stage
    checks: tuple[Check, ...]

    def check(self, case: Case) -> tuple[Finding, ...]:
        """Return the findings of all checks in order."""
        findings: list[Finding] = []
        for check in self.checks:
            findings.extend(check.check(case) or (_nothing_found(self.stage, type(check).__name__),))
        return tuple(findings) or (_nothing_found(self.stage, self.stage.value),)


def failures(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return those that did not pass."""
    return tuple(finding for finding in findings if not finding.passed)


def finding(
    check: str,
    stage: Stage,
    failed: ReasonCode | None,
    text: str,
    *,
    statistic: float | None = None,
    threshold: float | None = None,
    p_value: float | None = None,
    power: float | None = None,
) -> Finding:
    """Return a finding that passed unless a code says why it failed."""
    return Finding(
        check=check,
        stage=stage,
        passed=failed is None,
        code=failed,
        text=text,
        statistic=statistic,
        threshold=threshold,
        p_value=p_value,
        power=power,
    )


def missing(check: str, stage: Stage, what: str) -> Finding:
    """Return the finding that something was not measured: a check not made is a check failed."""
    return finding(check, stage, ReasonCode.MEASUREMENT_MISSING, f"The audit lacks {what}.")


def p_of(result: Result) -> float | None:
    """Return the p-value of a result; `None` where there is none or where it is no probability."""
    p_value = result.p_value
    return p_value if p_value is not None and 0.0 <= p_value <= 1.0 else None


def share_of(result: Result) -> float | None:
    """Return the value of an AUC or share; `None` where there is none or where it lies outside [0, 1]."""
    value = result.value
    return value if value is not None and 0.0 <= value <= 1.0 else None


def shown(p_value: float) -> str:
    """Return how a person reads a p-value: two digits, and no exact zero."""
    return "p < 0.000001" if p_value < 1e-6 else f"p {p_value:.2g}"


def _nothing_found(stage: Stage, name: str) -> Finding:
    return finding(name, stage, ReasonCode.MEASUREMENT_MISSING, f"No check was made in {name}.")
