"""Verification of a receipt, offline: these samples were in these runs, and the reports say so too."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError
from securesystemslib.signer import SSlibKey

from mcu_core.report.document import AuditReport
from service.attestation import PAYLOAD_TYPE, ReceiptStatement, read_statement
from service.domain.receipt import Inclusion, Receipt, unproven
from service.errors import SignatureError
from service.signing import read_envelope, verify_envelope
from service.verification.checks import CheckFailedError, CheckName, CheckResult, NotAskedError, demand, make_check


def read_receipt(envelope: bytes) -> Receipt:
    """Read a receipt; nothing is verified yet.

    Raises:
        SignatureError: it is none.
    """
    return read_statement(ReceiptStatement, read_envelope(envelope).payload).predicate


def verify_receipt(
    envelope: bytes, *, sample_ids: Sequence[str], reports: Sequence[bytes], keys: Sequence[SSlibKey]
) -> tuple[CheckResult, ...]:
    """Verify a receipt.

    1. A trusted key signed it (not asked without keys).
    2. Each report is one that it names, and holds the same root and number of samples.
    3. Each sample is proven to be in the run of one of these reports.

    Raises:
        SignatureError: the envelope holds no receipt.
    """
    receipt = read_receipt(envelope)
    by_report = {inclusion.report_digest: inclusion for inclusion in receipt.inclusions if inclusion.report_digest}
    checks: dict[CheckName, Callable[[], str]] = {
        CheckName.RECEIPT_SIGNATURE: lambda: _signature(envelope, keys),
        CheckName.RECEIPT_REPORT: lambda: _reports(receipt, by_report, reports),
        CheckName.RECEIPT_SAMPLES: lambda: _samples(by_report, reports, sample_ids),
    }
    return tuple(make_check(name, 0, check) for name, check in checks.items())


def _signature(envelope: bytes, keys: Sequence[SSlibKey]) -> str:
    if not keys:
        raise NotAskedError("No key was given: that the service issued this receipt is open.")
    try:
        key_id = verify_envelope(read_envelope(envelope), keys, PAYLOAD_TYPE)
    except SignatureError as error:
        raise CheckFailedError(error.message) from error
    return f"The receipt is signed by key {key_id[:16]}."


def _reports(receipt: Receipt, by_report: Mapping[str, Inclusion], reports: Sequence[bytes]) -> str:
    demand(bool(receipt.inclusions), "the receipt only acknowledges the request: no release has forgotten its samples")
    demand(bool(reports), "no report was given")
    for content in reports:
        inclusion = by_report.get(_digest(content))
        if inclusion is None:
            raise CheckFailedError("a report is not one that the receipt names")
        try:
            report = AuditReport.model_validate_json(content)
        except ValidationError as error:
            raise CheckFailedError("a report is of another schema than receipts refer to") from error
        same = (report.deletion.root, report.deletion.samples, report.subjects.run_id, report.subjects.lineage)
        named = (inclusion.root, inclusion.size, inclusion.run_id, receipt.lineage)
        demand(same == named, f"the report of {inclusion.run_id} commits to other samples than the receipt says")
    return f"{len(reports)} of the receipt's {len(receipt.inclusions)} reports commit to the samples as it says."


def _samples(by_report: Mapping[str, Inclusion], reports: Sequence[bytes], sample_ids: Sequence[str]) -> str:
    demand(bool(sample_ids), "no sample was named")
    left = set(range(len(sample_ids)))
    for inclusion in filter(None, (by_report.get(_digest(content)) for content in reports)):
        left &= set(unproven(inclusion, sample_ids))
    positions = ", ".join(str(position + 1) for position in sorted(left)[:20])
    demand(not left, f"{len(left)} of {len(sample_ids)} samples are not proven to be in these runs: number {positions}")
    return f"All {len(sample_ids)} samples are proven to be among those that were forgotten."


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
