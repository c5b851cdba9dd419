"""The evidence of a run: what is signed and written when it is published, and how a bundle is put together from it.

reports/<lineage>/<run>/report.json  report.html  report.dsse.json  plan.json  plan.dsse.json
policy.json  scores.parquet
reports/<lineage>/<run>/attempts/NNNN/report.json  report.dsse.json  plan.json  plan.dsse.json
"""

from collections.abc import Mapping
from datetime import datetime

from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.document import AuditReport
from mcu_core.report.plan import AuditPlan
from service.attestation import PAGE, PLAN, POLICY, REPORT, SCORES, attest, audit_statement, plan_statement
from service.bundle import attempt_member, is_member
from service.domain.canonical import canonical_bytes
from service.domain.release import evidence_key
from service.errors import BundleError
from service.ports import ObjectStore
from service.signing import Signer

PLAN_ENVELOPE, REPORT_ENVELOPE = "plan.dsse.json", "report.dsse.json"


def planned_members(plan: AuditPlan, *, signer: Signer, now: datetime) -> dict[str, bytes]:
    """Return plan and its envelope, to be written before the attempt is dispatched.

    Raises:
        SignatureError: the key cannot sign.
    """
    return {PLAN: plan.to_bytes(), PLAN_ENVELOPE: attest(plan_statement(plan, attested_at=now), signer)}


def judged_members(report: AuditReport, *, page: bytes | None, signer: Signer, now: datetime) -> dict[str, bytes]:
    """Return report, page (where there is one) and envelope of an attempt, to be written when it is judged.

    Raises:
        SignatureError: the key cannot sign.
    """
    members = {REPORT: report.to_bytes()} | ({} if page is None else {PAGE: page})
    statement = audit_statement(report, page=page, attested_at=now)
    return members | {REPORT_ENVELOPE: attest(statement, signer)}


def basis_members(policy: AuditPolicy, scores: bytes) -> dict[str, bytes]:
    """Return what the verdict is recomputed from; the policy as canonical JSON, so that its digest is its bytes'."""
    return {POLICY: canonical_bytes(policy.model_dump(mode="json")), SCORES: scores}


def earlier_members(attempt: int, members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what a bundle keeps of an earlier attempt, under the names that it has there."""
    kept = (REPORT, REPORT_ENVELOPE, PLAN, PLAN_ENVELOPE)
    return {attempt_member(attempt, name): members[name] for name in kept}


def find_lineage(objects: ObjectStore, run_id: str) -> str:
    """Return the lineage of a published run.

    Raises:
        BundleError: no such run was published.
    """
    for key in objects.keys("reports"):
        _, lineage, run, *_ = key.split("/")
        if run == run_id:
            return lineage
    raise BundleError(f"no evidence of {run_id} was published")


def collect_members(objects: ObjectStore, lineage: str, run_id: str) -> dict[str, bytes]:
    """Read the members of a published run's bundle, as they were signed.

    Raises:
        BundleError: nothing was published.
        DigestMismatchError: an object is not what was written.
    """
    folder = evidence_key(lineage, run_id, "")
    names = [key.removeprefix(folder) for key in objects.keys(folder.rstrip("/"))]
    members = {name: objects.read(folder + name) for name in names if is_member(name)}
    if not members:
        raise BundleError(f"no evidence of {run_id} was published")
    return members
