"""Bundles as an honest service makes them; a test then does what a forger would."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.document import AttemptSummary, AuditReport
from mcu_core.report.evidence import Role
from mcu_core.report.judgement import Claim, Judgement, Verdict
from mcu_core.report.plan import AuditPlan
from service.adapters.memory import MemorySigner
from service.evidence import basis_members, earlier_members, judged_members, planned_members
from service.signing import Signer
from tests.evidence import a_plan, a_report, an_evidence, some_facts
from tests.results import POLICY

SIGNER, FORGER = MemorySigner(b"s" * 32), MemorySigner(b"f" * 32)
WEIGHTS = b"weights of the candidate"
HOUR = 3_600_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What one attempt leaves behind."""

    plan: AuditPlan
    report: AuditReport
    scores: bytes
    policy: AuditPolicy = POLICY

    @property
    def page(self) -> bytes:
        """Return as much of a page as a verifier reads."""
        return f'<!doctype html><p id="verdict">{self.report.judgement.verdict.value}</p>'.encode()

    def members(self, signer: Signer = SIGNER) -> dict[str, bytes]:
        """Return all of it with the envelopes of that signer: the plan signed a second after it was made."""
        planned = self.plan.created_at + 1_000_000
        reported = self.report.evidence.facts.started_at + HOUR
        return (
            planned_members(self.plan, signer=signer, now=at(planned))
            | judged_members(self.report, page=self.page, signer=signer, now=at(reported))
            | basis_members(self.policy, self.scores)
        )

    def summary(self) -> AttemptSummary:
        """Return what the reports of later attempts say of it."""
        return AttemptSummary(
            attempt=self.report.attempt,
            rung=self.report.rung,
            rung_kind=self.report.rung_kind,
            verdict=self.report.judgement.verdict,
            claim=self.report.judgement.claim,
            plan_digest=self.plan.digest,
            report_digest=hashlib.sha256(self.report.to_bytes()).hexdigest(),
        )


def at(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def an_audit(previous: Sequence[Audit] = (), *, verdict: Verdict = Verdict.ACCEPT_POWERED) -> Audit:
    """Return an attempt that follows others; the scores are bytes that nobody reads."""
    start = 2 * HOUR * len(previous)
    made = a_plan(audits_before=len(previous))
    plan = made.model_copy(update={"created_at": made.created_at + start})
    digests = {Role.ORIGINAL: plan.base_model, Role.CANDIDATE: hashlib.sha256(WEIGHTS).hexdigest()}
    facts = some_facts(plan, started_at=plan.created_at + HOUR)
    facts = facts.model_copy(update={"digests": facts.digests | digests})
    scores = f"scores of attempt {len(previous) + 1}".encode()
    report = a_report(
        plan, an_evidence(plan, facts=facts), previous_attempts=tuple(audit.summary() for audit in previous)
    )
    return with_scores(Audit(plan=plan, report=report, scores=scores), scores, verdict)


def with_scores(audit: Audit, scores: bytes, verdict: Verdict) -> Audit:
    """Return the audit with other scores, and judged otherwise."""
    accepted = {"verdict": verdict} if verdict.accepts else {"verdict": verdict, "claim": Claim.NOTHING}
    changes = {
        "subjects": audit.report.subjects.model_copy(update={"scores": hashlib.sha256(scores).hexdigest()}),
        "judgement": audit.report.judgement.model_copy(update=accepted),
    }
    return replace(audit, scores=scores, report=audit.report.model_copy(update=changes))


def judged(audit: Audit, judgement: Judgement) -> Audit:
    """Return the audit with another judgement in its report."""
    return replace(audit, report=audit.report.model_copy(update={"judgement": judgement}))


def members_of(audits: Sequence[Audit], signer: Signer = SIGNER) -> dict[str, bytes]:
    """Return the members of the bundle about the last of a run's attempts."""
    *earlier, last = audits
    members = last.members(signer)
    for audit in earlier:
        members |= earlier_members(audit.report.attempt, audit.members(signer))
    return members
