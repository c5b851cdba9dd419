"""What the job of an attempt does, in place of a worker: the same files, with contents that the test chooses."""

import hashlib
from collections.abc import Callable

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import save

from mcu_core.config import McuRung
from mcu_core.report import AuditPlan, AuditReport, Evidence, Facts, Role, Signal
from mcu_core.report.evidence import CanaryEvidence
from service.domain import judging
from service.domain.run import EXIT_CODES, FailureKind, Outcome, WorkOrder
from service.errors import NotRecomputableError
from service.ports import ObjectStore
from tests.evidence import an_evidence, some_facts
from tests.results import CLEAR, a_canary_evidence, auc_result, primary_tests

Attempt = Callable[[WorkOrder, ObjectStore], int]
"""Returns the job's exit code."""
Audit = Callable[[AuditPlan, Facts], Evidence]
"""What the audit of an attempt finds, by its plan and facts."""
TELLING = 0.2
"""Standard error of the logit of an AUC of some 400 canaries."""
RUN_STARTS_AFTER = 1
"""Microseconds after its plan."""


def candidate_bytes(order: WorkOrder) -> bytes:
    """Return the weights that this attempt comes up with."""
    bias = np.array([order.spec.sequence, order.epoch, order.rung_index], np.float32)
    return save({"layer.weight": np.ones((3, 4), np.float32), "layer.bias": bias})


def candidate_digest(order: WorkOrder) -> str:
    """Return the digest of those weights."""
    return hashlib.sha256(candidate_bytes(order)).hexdigest()


def facts_of(order: WorkOrder) -> Facts:
    """Return what a worker knows of this order's models."""
    digests = {
        Role.ORIGINAL: order.spec.base_model_digest,
        Role.PRE_UNLEARNED: hashlib.sha256(b"end").hexdigest(),
        Role.CANDIDATE: candidate_digest(order),
        Role.RELEARNED: hashlib.sha256(b"relearned").hexdigest(),
    }
    return some_facts(order.plan, digests=digests, started_at=order.planned_at + RUN_STARTS_AFTER)


def no_trace(plan: AuditPlan, facts: Facts) -> Evidence:
    """Find a candidate that forgot."""
    return an_evidence(plan, facts=facts, canaries=_canaries(plan))


def trace_left(plan: AuditPlan, facts: Facts) -> Evidence:
    """Find a candidate that still knows the deleted samples."""
    tests = primary_tests(0.85, auc_p=CLEAR, signal=plan.primary_signal, n=plan.forget_count)
    return an_evidence(plan, facts=facts, primary=tests, canaries=_canaries(plan))


def nothing_to_see(plan: AuditPlan, facts: Facts) -> Evidence:
    """Find an original that does not know them either."""
    tests = primary_tests(role=Role.ORIGINAL, signal=plan.primary_signal, n=plan.forget_count)
    canaries = None if plan.canaries is None else a_canary_evidence(original=0.5, plan=plan.canaries)
    return an_evidence(plan, facts=facts, positive_control=tests, canaries=canaries)


def incomplete(plan: AuditPlan, facts: Facts) -> Evidence:
    """Find everything but the tails."""
    found = no_trace(plan, facts)
    return found.model_copy(update={"primary": found.primary[:1]})


def unclear(plan: AuditPlan, facts: Facts) -> Evidence:
    """Find no trace, but one of D_f that stands out, so that a person must look."""
    return an_evidence(plan, facts=facts, canaries=_canaries(plan), smallest_individual_p=1e-4)


def _canaries(plan: AuditPlan) -> CanaryEvidence | None:
    """Return canaries that tell as much as many would: the worlds of tests have a handful."""
    if plan.canaries is None:
        return None
    found = a_canary_evidence(original_p=CLEAR, plan=plan.canaries)
    n, m = plan.canaries.included, plan.canaries.excluded
    forgotten = auc_result(0.5, name="canary", signal=Signal.PHI, n=n, m=m, standard_error=TELLING)
    return found.model_copy(update={"candidate": forgotten})


def scores_of(evidence: Evidence) -> bytes:
    """Return what stands in the place of `scores.parquet`: the evidence itself."""
    return evidence.model_dump_json().encode()


def told_evidence(scores: bytes, _plan: AuditPlan) -> Evidence:
    """Return the evidence that follows from `scores_of`."""
    try:
        return Evidence.model_validate_json(scores)
    except ValidationError as error:
        raise NotRecomputableError("nothing can be computed from the scores") from error


def report_of(order: WorkOrder, audit: Audit = no_trace) -> AuditReport:
    """Return the report that an honest worker makes of an order."""
    evidence = audit(order.plan, facts_of(order))
    digest = hashlib.sha256(scores_of(evidence)).hexdigest()
    return judging.report_of(order, evidence, candidate_digest=candidate_digest(order), scores_digest=digest)


def finish(order: WorkOrder, objects: ObjectStore, report: AuditReport, scores: bytes | None = None) -> int:
    """Write everything that a judged attempt leaves behind; scores are by default those of the report's evidence."""
    if isinstance(order.rung, McuRung):
        objects.create(f"{order.prefix}/pathway.safetensors", b"the original model is part of this")
    candidate = objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
    content = scores_of(report.evidence) if scores is None else scores
    kept = objects.create(f"{order.prefix}/scores.parquet", content)
    written = objects.create(f"{order.prefix}/report.json", report.to_bytes())
    objects.overwrite(f"{order.prefix}/progress.json", b"{}")
    outcome = Outcome(candidate_digest=candidate.sha256, report_digest=written.sha256, scores_digest=kept.sha256)
    objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
    return 0


def audited(audit: Audit) -> Attempt:
    """Return an attempt whose audit finds this."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        return finish(order, objects, report_of(order, audit))

    return attempt


accept = audited(no_trace)
reject = audited(trace_left)
review = audited(unclear)
vacuous = audited(nothing_to_see)
invalid = audited(incomplete)


def fails(kind: FailureKind, message: str = "said so") -> Attempt:
    """Return an attempt that fails and says how."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        objects.create(f"{order.prefix}/outcome.json", Outcome(failure=kind, message=message).to_bytes())
        return EXIT_CODES[kind]

    return attempt


def dies(order: WorkOrder, objects: ObjectStore) -> int:
    """Leave a candidate and be killed before the outcome."""
    objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
    return -9


def hides(audit: Audit, *, told: FailureKind | None = None, reported: bool = True) -> Attempt:
    """Return an attempt that scores its candidate, and ends without an outcome or with one that tells of a failure."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        report = report_of(order, audit)
        objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
        objects.create(f"{order.prefix}/scores.parquet", scores_of(report.evidence))
        if reported:
            objects.create(f"{order.prefix}/report.json", report.to_bytes())
        if told is None:
            return -9
        objects.create(f"{order.prefix}/outcome.json", Outcome(failure=told, message="said so").to_bytes())
        return EXIT_CODES[told]

    return attempt


def exits(code: int) -> Attempt:
    """Return an attempt that ends without an outcome."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        return code

    return attempt


def misreports(change: Callable[[AuditReport], AuditReport], audit: Audit = no_trace) -> Attempt:
    """Return an attempt whose report was changed before it was written."""

    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        honest = report_of(order, audit)
        return finish(order, objects, change(honest), scores_of(honest.evidence))

    return attempt
