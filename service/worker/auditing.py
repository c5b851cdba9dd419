"""The audit of one attempt: SCORE by torch, then STATS and GATE from what SCORE wrote, as any verifier repeats them."""

import hashlib
import time
from collections.abc import Sequence

from mcu_core.audit.answers import Family
from mcu_core.audit.batchnorm import batchnorm_rows
from mcu_core.audit.score import Origin, score
from mcu_core.report import AuditReport
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import from_parquet, to_parquet
from mcu_core.types import Outcome, Problem, Progress, ignore_progress
from service.domain.judging import report_of
from service.domain.run import WorkOrder
from service.worker.posing import AuditedSamples


def run_seed(order: WorkOrder) -> int:
    """Return the seed of an attempt's unlearning: each rung has its own."""
    return order.spec.seed + order.rung_index


def score_candidate(
    order: WorkOrder,
    problem: Problem,
    samples: AuditedSamples,
    outcome: Outcome,
    *,
    started_at: int,
    given: Problem | None = None,
    references: Sequence[Family] = (),
    progress: Progress = ignore_progress,
) -> bytes:
    """Return `scores.parquet` of an attempt.

    Args:
        order: with the plan.
        problem: as the run could read it, with the labels of the manifest.
        samples: what the audit alone reads.
        outcome: its candidate as it was read back.
        started_at: of the run, microseconds since 1970-01-01 UTC.
        given: the problem as the run got it, where D_v was mislabelled: rows are drawn by its labels.
        references: the family that the plan names.
        progress: told after every batch.

    Raises:
        ConfigurationError, DataError, DivergedError: as `mcu_core.audit.score`.
    """
    table = score(
        problem,
        samples.sealed,
        outcome,
        order.plan,
        config=order.spec.config,
        origin=Origin(
            started_at=started_at,
            original_digest=order.spec.base_model_digest,
            batchnorm_rows=batchnorm_rows(given or problem, order.rung, run_seed(order)),
            excluded=samples.excluded,
        ),
        references=references,
        canaries=samples.canaries,
        forgotten_before=samples.forgotten_before,
        subjects=samples.subjects,
        progress=progress,
    )
    return to_parquet(table)


def report_on(order: WorkOrder, scores: bytes, candidate_digest: str) -> AuditReport:
    """Compute the evidence from the scores, decide, and put the report together.

    Args:
        order: with plan, policy and what was attempted before.
        scores: `scores.parquet` as it was stored.
        candidate_digest: of the stored candidate.
    """
    evidence = evidence_of(from_parquet(scores), order.plan)
    digest = hashlib.sha256(scores).hexdigest()
    return report_of(order, evidence, candidate_digest=candidate_digest, scores_digest=digest)


def start_of_run(order: WorkOrder) -> int:
    """Return when the run began, microseconds since 1970-01-01 UTC.

    The order holds the signed plan, so the run began after it, however much this machine's clock is behind.
    """
    return max(time.time_ns() // 1_000, order.planned_at + 1)
