"""STATS once more, from what SCORE stored: by the control plane before it publishes, by whoever holds a bundle."""

from collections.abc import Callable

from mcu_core.errors import CoreError
from mcu_core.report import AuditPlan, Evidence
from service.errors import NotRecomputableError

Recompute = Callable[[bytes, AuditPlan], Evidence]
"""From `scores.parquet` and plan to the evidence; raises `NotRecomputableError`."""


def recompute(scores: bytes, plan: AuditPlan) -> Evidence:
    """Return the evidence that follows from scores and plan.

    Args:
        scores: content of `scores.parquet`.
        plan: of the audit.

    Raises:
        NotRecomputableError: nothing can be computed from these scores.
    """
    from mcu_core.statistics.assemble import evidence_of  # noqa: PLC0415  # seconds to import, needed once a run
    from mcu_core.statistics.scores import from_parquet  # noqa: PLC0415

    try:
        return evidence_of(from_parquet(scores), plan)
    except (CoreError, ValueError, ArithmeticError, LookupError) as error:
        raise NotRecomputableError(f"nothing can be computed from the scores: {error}") from error
