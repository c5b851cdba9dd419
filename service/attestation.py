"""What is signed: in-toto Statements about plans, audits and receipts, each in a DSSE envelope.

Source: in-toto Attestation Framework, Statement v1 and DSSE as its envelope (github.com/in-toto/attestation).
Deviations: unknown fields are refused, and times are integer microseconds, as everywhere in this service.

What a time in a statement is worth: the signer says so. Nobody else does, unless the ledger's signed checkpoints or a
time-stamping authority bind it; a verifier learns from it whether the signer contradicts itself.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeVar

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcu_core.report.document import AuditReport
from mcu_core.report.judgement import Claim, Verdict
from mcu_core.report.parts import Digest
from mcu_core.report.plan import AuditPlan
from service.domain.canonical import is_canonical
from service.domain.receipt import Receipt
from service.errors import SignatureError
from service.signing import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
AUDIT_TYPE: Literal["urn:unlearning:audit:v1"] = "urn:unlearning:audit:v1"
"""Predicate types are RFC 3986 URIs that only name; nothing is served under them."""
PLAN_TYPE: Literal["urn:unlearning:plan:v1"] = "urn:unlearning:plan:v1"
RECEIPT_TYPE: Literal["urn:unlearning:receipt:v1"] = "urn:unlearning:receipt:v1"
CHECKPOINT_TYPE: Literal["urn:unlearning:checkpoint:v1"] = "urn:unlearning:checkpoint:v1"
LEDGER_HEAD = "ledger-head"
"""Name of a checkpoint's subject: the entry whose digest binds all before it."""

WEIGHTS, REPORT, PAGE, SCORES, PLAN, POLICY = (
    "model.safetensors",
    "report.json",
    "report.html",
    "scores.parquet",
    "plan.json",
    "policy.json",
)
"""Names of subjects, and of the members of a bundle that they are."""

Microseconds = Annotated[int, Field(ge=0, lt=2**53)]
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class _Document(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True
    )

    def to_bytes(self) -> bytes:
        """Return the canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json"))


class DigestSet(_Document):
    """in-toto's DigestSet with the one algorithm that is used here."""

    sha256: Digest


class Subject(_Document):
    """One thing that a statement is about (in-toto's ResourceDescriptor)."""

    name: str
    digest: DigestSet


class PlanPredicate(_Document):
    """What was fixed, and when, before anything was unlearned."""

    run_id: str
    lineage: str
    attempt: int
    policy: Digest
    attested_at: Microseconds
    """When it was signed; later than `created_at` of the plan, earlier than the run's start."""


class AuditPredicate(_Document):
    """What was decided about which candidate."""

    run_id: str
    lineage: str
    attempt: int
    verdict: Verdict
    claim: Claim
    claim_margin: float | None
    plan: Digest
    policy: Digest
    policy_version: str
    base_model: Digest
    manifest: Digest
    started_at: Microseconds
    """Of the run."""
    attested_at: Microseconds


class CheckpointPredicate(_Document):
    """How far the ledger had come."""

    number: Annotated[int, Field(ge=1, lt=2**53)]
    sequence: Annotated[int, Field(ge=1, lt=2**53)]
    """Of the entry whose digest is the subject."""
    attested_at: Microseconds


class _Statement(_Document):
    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1)]

    @property
    def digests(self) -> dict[str, str]:
        """Return the subjects' digests by name."""
        return {subject.name: subject.digest.sha256 for subject in self.subject}


class PlanStatement(_Statement):
    """About `plan.json` and the policy."""

    predicate_type: Literal["urn:unlearning:plan:v1"] = Field(default=PLAN_TYPE, alias="predicateType")
    predicate: PlanPredicate


class AuditStatement(_Statement):
    """About the candidate's weights and everything that the verdict rests on."""

    predicate_type: Literal["urn:unlearning:audit:v1"] = Field(default=AUDIT_TYPE, alias="predicateType")
    predicate: AuditPredicate


class ReceiptStatement(_Statement):
    """About a request, and the reports of the runs that answered it."""

    predicate_type: Literal["urn:unlearning:receipt:v1"] = Field(default=RECEIPT_TYPE, alias="predicateType")
    predicate: Receipt


class CheckpointStatement(_Statement):
    """About the head of the ledger."""

    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Literal["urn:unlearning:checkpoint:v1"] = Field(default=CHECKPOINT_TYPE, alias="predicateType")
    predicate: CheckpointPredicate


S = TypeVar("S", PlanStatement, AuditStatement, ReceiptStatement, CheckpointStatement)


def plan_statement(plan: AuditPlan, *, attested_at: datetime) -> PlanStatement:
    """State a plan, to be signed before its run starts; never as older than it is."""
    return PlanStatement(
        subject=_subjects({PLAN: plan.digest, POLICY: plan.policy}),
        predicate=PlanPredicate(
            run_id=plan.run_id,
            lineage=plan.lineage,
            attempt=plan.attempt,
            policy=plan.policy,
            attested_at=max(microseconds(attested_at), plan.created_at),
        ),
    )


def audit_statement(report: AuditReport, *, page: bytes | None, attested_at: datetime) -> AuditStatement:
    """State an audit: what was decided, about which bytes.

    Args:
        report: of the attempt.
        page: `report.html`; `None` where none is kept, as of an attempt that is not published.
        attested_at: now. A worker's clock may be ahead of this one, and this one may have been set back: what is signed
            is never older than the run that it speaks of.
    """
    about = report.subjects
    digests = {
        WEIGHTS: about.candidate,
        REPORT: hashlib.sha256(report.to_bytes()).hexdigest(),
        SCORES: about.scores,
        PLAN: about.plan,
        POLICY: about.policy,
    }
    if page is not None:
        digests[PAGE] = hashlib.sha256(page).hexdigest()
    signed_at = max(microseconds(attested_at), report.evidence.facts.started_at)
    predicate = audit_predicate(report, attested_at=signed_at)
    return AuditStatement(subject=_subjects(digests), predicate=predicate)


def audit_predicate(report: AuditReport, *, attested_at: int) -> AuditPredicate:
    """Return what is stated of a report, signed at that many microseconds since 1970-01-01 UTC."""
    about, judgement = report.subjects, report.judgement
    return AuditPredicate(
        run_id=about.run_id,
        lineage=about.lineage,
        attempt=report.attempt,
        verdict=judgement.verdict,
        claim=judgement.claim,
        claim_margin=judgement.claim_margin,
        plan=about.plan,
        policy=about.policy,
        policy_version=report.policy_version,
        base_model=about.base_model,
        manifest=about.manifest,
        started_at=report.evidence.facts.started_at,
        attested_at=attested_at,
    )


def receipt_statement(receipt: Receipt) -> ReceiptStatement:
    """State a receipt."""
    reports = {
        f"{inclusion.run_id}/{REPORT}": inclusion.report_digest
        for inclusion in receipt.inclusions
        if inclusion.report_digest is not None
    }
    return ReceiptStatement(subject=_subjects({"request": receipt.request_digest} | reports), predicate=receipt)


def checkpoint_statement(number: int, *, sequence: int, digest: str, attested_at: datetime) -> CheckpointStatement:
    """State the head of the ledger.

    Args:
        number: of the checkpoint.
        sequence: of the entry at the head.
        digest: of that entry.
        attested_at: now.
    """
    predicate = CheckpointPredicate(number=number, sequence=sequence, attested_at=microseconds(attested_at))
    return CheckpointStatement(subject=_subjects({LEDGER_HEAD: digest}), predicate=predicate)


def attest(statement: PlanStatement | AuditStatement | ReceiptStatement | CheckpointStatement, signer: Signer) -> bytes:
    """Return a statement signed: the bytes of `plan.dsse.json`, `report.dsse.json`, a receipt or a checkpoint.

    Raises:
        SignatureError: the key cannot sign.
    """
    return signer.sign(statement.to_bytes(), PAYLOAD_TYPE)


def read_statement(kind: type[S], payload: bytes) -> S:
    """Read the payload of an envelope.

    Raises:
        SignatureError: it is no such statement.
    """
    try:
        statement = kind.model_validate_json(payload)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        raise SignatureError(f"the envelope holds no {kind.__name__}: {where}") from error
    if not is_canonical(statement, payload):
        raise SignatureError(f"the envelope holds a {kind.__name__} that is not canonical JSON (RFC 8785)")
    return statement


def microseconds(at: datetime) -> int:
    """Return an aware time as microseconds since 1970-01-01 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """Return the time that is so many microseconds after 1970-01-01 UTC."""
    return _EPOCH + timedelta(microseconds=count)


def _subjects(digests: Mapping[str, str]) -> tuple[Subject, ...]:
    return tuple(Subject(name=name, digest=DigestSet(sha256=digest)) for name, digest in sorted(digests.items()))
