"""Results of an audit's tests as STATS reports them, every number chosen by the test."""

import math
from statistics import NormalDist

from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.evidence import CanaryEvidence, Individuals, Result, Role
from mcu_core.report.plan import CanaryPlan, Signal

POLICY = AuditPolicy(
    version="test",
    alpha=0.05,
    alpha_decay=0.5,
    control_alpha=0.01,
    tail_level=0.01,
    margin=0.10,
    margin_large=0.05,
    margin_large_from=400,
    margin_share_of_original=0.5,
    least_power=0.9,
    canary_margin_share=0.5,
    test_accuracy_loss_margin=0.03,
    retain_accuracy_loss_margin=0.02,
    retained_exposure_margin=0.05,
)
CONFIDENCE = 0.95
NON_MEMBERS = 5_000
"""Samples of C_eval, as many of C_cal."""
RETAINED = 2_048
CLEAR = 1e-6
"""p-value of what cannot be chance."""
NORMAL = NormalDist()
CANARY_PLAN = CanaryPlan(included=60, excluded=60, coin_commitment="c" * 64)


def auc_result(
    value: float,
    *,
    role: Role = Role.CANDIDATE,
    name: str = "auc",
    signal: Signal | None = Signal.CALIBRATED,
    n: int = 1_000,
    m: int = NON_MEMBERS,
    p_value: float | None = None,
    standard_error: float | None = None,
) -> Result:
    """Return an AUC; where they are not given, its p-value and standard error are those of exchangeable samples."""
    under_null = math.sqrt((n + m + 1) / (12 * n * m))
    se = 4 * under_null if standard_error is None and n >= 10 and 0 < value < 1 else standard_error
    p_null = min(1.0, 2 * NORMAL.cdf(-abs(value - 0.5) / under_null))
    low, high = _logit_interval(value, se)
    return Result(
        name=name,
        role=role,
        signal=signal,
        value=value,
        low=low,
        high=high,
        level=None if low is None else CONFIDENCE,
        standard_error=se,
        p_value=p_null if p_value is None else p_value,
        hypothesis="AUC = 0.5, two-sided",
        forget_count=n,
        other_count=m,
        method="delong-logit" if se is not None else "permutation",
    )


def tail_result(
    side: str,
    *,
    share: float = 0.01,
    p_value: float = 0.5,
    role: Role = Role.CANDIDATE,
    signal: Signal = Signal.CALIBRATED,
    n: int = 1_000,
    m: int = NON_MEMBERS,
) -> Result:
    """Return the share of D_f beyond one tail of the non-members."""
    return Result(
        name=f"tail.{side}",
        role=role,
        signal=signal,
        value=share,
        low=max(0.0, share - 0.006),
        high=min(1.0, share + 0.009),
        level=CONFIDENCE,
        p_value=p_value,
        hypothesis="share beyond the tail is 0.01",
        forget_count=n,
        other_count=m,
        method="clopper-pearson",
    )


def primary_tests(
    auc: float = 0.5,
    *,
    auc_p: float | None = None,
    standard_error: float | None = None,
    upper_p: float = 0.5,
    lower_p: float = 0.5,
    role: Role = Role.CANDIDATE,
    signal: Signal = Signal.CALIBRATED,
    n: int = 1_000,
    m: int = NON_MEMBERS,
) -> tuple[Result, ...]:
    """Return the three primary tests of a model."""
    upper, lower = (0.08 if p < POLICY.control_alpha else POLICY.tail_level for p in (upper_p, lower_p))
    return (
        auc_result(auc, role=role, signal=signal, n=n, m=m, p_value=auc_p, standard_error=standard_error),
        tail_result("upper", share=upper, p_value=upper_p, role=role, signal=signal, n=n, m=m),
        tail_result("lower", share=lower, p_value=lower_p, role=role, signal=signal, n=n, m=m),
    )


def a_canary_evidence(
    candidate: float = 0.5,
    original: float = 0.95,
    *,
    candidate_p: float | None = None,
    original_p: float | None = None,
    one_run_p: float = 0.6,
    plan: CanaryPlan = CANARY_PLAN,
) -> CanaryEvidence:
    """Return canaries that the original remembers and the candidate forgot."""
    n, m = plan.included, plan.excluded
    return CanaryEvidence(
        original=auc_result(
            original, role=Role.ORIGINAL, name="canary", signal=Signal.PHI, n=n, m=m, p_value=original_p
        ),
        candidate=auc_result(candidate, name="canary", signal=Signal.PHI, n=n, m=m, p_value=candidate_p),
        one_run=_one_run(Role.CANDIDATE, n, m, right=0.5, p_value=one_run_p),
        one_run_original=_one_run(Role.ORIGINAL, n, m, right=0.9, p_value=CLEAR),
    )


def p_value_result(name: str, p_value: float, *, value: float, role: Role, n: int = 1_000) -> Result:
    """Return a control of which the gate reads only the p-value."""
    return Result(
        name=name,
        role=role,
        value=value,
        p_value=p_value,
        hypothesis="the instrument sees nothing where there is nothing",
        forget_count=n,
        other_count=NON_MEMBERS,
        method="permutation" if role is Role.NONE else "kolmogorov-smirnov",
    )


def some_individuals(n: int = 1_000, *, smallest: float = 0.9) -> Individuals:
    """Return unsuspicious p-values of each sample, Holm's smallest as given."""
    high = tuple((position + 0.5) / n for position in range(n))
    low = tuple(1 - p for p in high)
    both = tuple(min(1.0, 2 * min(pair)) for pair in zip(high, low, strict=True))
    return Individuals(p_high=high, p_low=low, p_two=both, smallest=smallest)


def _logit_interval(value: float, standard_error: float | None) -> tuple[float | None, float | None]:
    if standard_error is None:
        return None, None
    centre, half = math.log(value / (1 - value)), NORMAL.inv_cdf((1 + CONFIDENCE) / 2) * standard_error
    low, high = (1 / (1 + math.exp(-(centre + shift))) for shift in (-half, half))
    return low, high


def _one_run(role: Role, n: int, m: int, *, right: float, p_value: float) -> Result:
    return Result(
        name="canary.one_run",
        role=role,
        signal=Signal.PHI,
        value=right,
        p_value=p_value,
        hypothesis="epsilon = 0",
        forget_count=n,
        other_count=m,
        method="steinke-2023",
    )
