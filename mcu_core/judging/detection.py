"""What the audit could have seen: a trace as large as the one that the original model shows."""

from mcu_core.judging.case import FEW_SAMPLES, Case, share_of
from mcu_core.judging.equivalence import detection_power
from mcu_core.report.evidence import Result


def trace_power(case: Case) -> float:
    """Return the chance that the candidate's AUC test on D_f rejects a model whose AUC is the original's.

    The level is that of Holm's first step, alpha / 2^j over the number of primary tests: whatever the other tests find,
    the chance is not smaller.

    Returns:
        A probability; 0 where the original's AUC could not be estimated.
    """
    n, m = case.size
    return detection_power(case.original_auc, n, m, alpha=_first_step(case))


def canary_power(case: Case) -> float:
    """Return the same chance of the test on canaries; 0 where there are none."""
    canaries = case.evidence.canaries
    if canaries is None:
        return 0.0
    n, m = canaries.original.forget_count, canaries.original.other_count
    return detection_power(canaries.original.value, n, m, alpha=_first_step(case))


def power_of(case: Case, result: Result) -> float | None:
    """Return the power of one of the candidate's primary tests, as a report shows it.

    Returns:
        `None` for the tails, whose test is not of an AUC; below `FEW_SAMPLES` independent samples on either side, where
        an AUC is far from normal; and where the original's AUC could not be estimated.
    """
    canaries = case.evidence.canaries
    if canaries is not None and result is canaries.candidate:
        original, sizes, power = share_of(canaries.original), (result.forget_count, result.other_count), canary_power
    elif result.name == "auc":
        original, sizes, power = case.original_auc, case.size, trace_power
    else:
        return None
    return None if original is None or min(sizes) < FEW_SAMPLES else power(case)


def _first_step(case: Case) -> float:
    return case.alpha / max(1, len(case.original_tests))
