"""A receipt holds against the report of its run, for the samples that it is about, and for nothing else."""

import hashlib
from dataclasses import replace

import pytest

from mcu_core.report.document import Deletion
from service.attestation import attest, receipt_statement
from service.domain.receipt import Receipt, forgotten_set, inclusion_of
from service.errors import SignatureError
from service.signing import load_public_key
from service.verification.checks import CheckName, CheckResult, Outcome, passed
from service.verification.receipt import verify_receipt
from tests.bundles import FORGER, SIGNER, an_audit
from tests.records import a_release, digest_of
from tests.world import KEY

KEYS = [load_public_key(SIGNER.public_key.pem.encode())]
OWN, OTHERS = ("mine-1", "mine-2"), ("theirs-1", "theirs-2", "theirs-3")
RUN = "run-1"
FORGOTTEN = forgotten_set(KEY, RUN, [*OWN, *OTHERS])
HONEST = an_audit().report.model_copy(update={"deletion": Deletion(tickets=2, samples=5, root=FORGOTTEN.root)})
REPORT = HONEST.to_bytes()
RELEASE = replace(a_release(2), report_digest=hashlib.sha256(REPORT).hexdigest(), run_id=RUN)
RECEIPT = Receipt(
    ticket_id="tkt-1",
    lineage=HONEST.subjects.lineage,
    request_digest=digest_of("request"),
    sample_count=2,
    received_at=1,
    due_at=2,
    issued_at=3,
    inclusions=(inclusion_of(KEY, FORGOTTEN, RELEASE, dict(enumerate(OWN))),),
)
ENVELOPE = attest(receipt_statement(RECEIPT), SIGNER)


def checked(
    envelope: bytes = ENVELOPE, *ids: str, reports: tuple[bytes, ...] = (REPORT,)
) -> dict[CheckName, CheckResult]:
    results = verify_receipt(envelope, sample_ids=ids or OWN, reports=reports, keys=KEYS)
    assert passed(results) == all(result.outcome is Outcome.PASSED for result in results)
    return {result.name: result for result in results}


def failed(results: dict[CheckName, CheckResult]) -> list[CheckName]:
    return [name for name, result in results.items() if result.outcome is Outcome.FAILED]


def test_an_honest_receipt_passes_for_all_or_some_of_its_samples() -> None:
    assert failed(checked()) == failed(checked(ENVELOPE, OWN[1])) == []


@pytest.mark.parametrize("sample_id", [*OTHERS, "nobodys"])
def test_it_proves_nobody_elses_samples(sample_id: str) -> None:
    results = checked(ENVELOPE, OWN[0], sample_id)

    assert failed(results) == [CheckName.RECEIPT_SAMPLES]
    assert results[CheckName.RECEIPT_SAMPLES].text == "1 of 2 samples are not proven to be in these runs: number 2."


def test_the_report_of_another_run_does_not_serve() -> None:
    results = checked(reports=(an_audit().report.to_bytes(),))

    assert failed(results) == [CheckName.RECEIPT_REPORT, CheckName.RECEIPT_SAMPLES]


@pytest.mark.parametrize("deletion", [{"root": digest_of("other")}, {"samples": 6}])
def test_a_report_that_commits_to_other_samples_is_noticed(deletion: dict[str, object]) -> None:
    other = HONEST.model_copy(update={"deletion": HONEST.deletion.model_copy(update=deletion)}).to_bytes()
    inclusion = RECEIPT.inclusions[0].model_copy(update={"report_digest": hashlib.sha256(other).hexdigest()})
    receipt = RECEIPT.model_copy(update={"inclusions": (inclusion,)})

    results = checked(attest(receipt_statement(receipt), SIGNER), reports=(other,))

    assert failed(results) == [CheckName.RECEIPT_REPORT]


def test_a_receipt_of_somebody_else_is_noticed() -> None:
    assert failed(checked(attest(receipt_statement(RECEIPT), FORGER))) == [CheckName.RECEIPT_SIGNATURE]


def test_an_acknowledgement_proves_nothing() -> None:
    acknowledged = attest(receipt_statement(RECEIPT.model_copy(update={"inclusions": ()})), SIGNER)

    assert failed(checked(acknowledged)) == [CheckName.RECEIPT_REPORT, CheckName.RECEIPT_SAMPLES]


def test_nothing_named_is_nothing_proven() -> None:
    results = verify_receipt(ENVELOPE, sample_ids=[], reports=[], keys=[])

    assert [result.outcome for result in results] == [Outcome.NOT_ASKED, Outcome.FAILED, Outcome.FAILED]


def test_what_is_no_receipt_is_refused() -> None:
    with pytest.raises(SignatureError, match="no ReceiptStatement"):
        verify_receipt(an_audit().members()["plan.dsse.json"], sample_ids=OWN, reports=[REPORT], keys=KEYS)
