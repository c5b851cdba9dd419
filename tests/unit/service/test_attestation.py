"""Statements are in-toto's, canonical, and say what the documents say."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from service.attestation import (
    PAYLOAD_TYPE,
    AuditStatement,
    PlanStatement,
    attest,
    audit_statement,
    microseconds,
    plan_statement,
    read_statement,
)
from service.domain.canonical import canonical_bytes
from service.errors import SignatureError
from service.signing import read_envelope
from tests.bundles import SIGNER, WEIGHTS, an_audit

AUDIT = an_audit()
NOW = datetime(2026, 11, 3, 12, 0, 0, 5, tzinfo=UTC)


def test_a_statement_has_the_fields_of_in_toto_and_no_others() -> None:
    document = json.loads(audit_statement(AUDIT.report, page=AUDIT.page, attested_at=NOW).to_bytes())

    assert document.keys() == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:unlearning:audit:v1"
    assert all(subject.keys() == {"name", "digest"} for subject in document["subject"])


def test_the_subjects_of_an_audit_are_the_bytes_that_a_reader_has() -> None:
    members = AUDIT.members() | {"model.safetensors": WEIGHTS}
    subjects = audit_statement(AUDIT.report, page=AUDIT.page, attested_at=NOW).digests

    assert subjects.keys() == members.keys() - {"report.dsse.json", "plan.dsse.json"}
    assert subjects == {name: hashlib.sha256(members[name]).hexdigest() for name in subjects}


def test_an_attempt_without_a_page_has_no_page_among_its_subjects() -> None:
    assert "report.html" not in audit_statement(AUDIT.report, page=None, attested_at=NOW).digests


def test_the_predicate_says_what_was_decided_and_when_it_was_signed() -> None:
    predicate = audit_statement(AUDIT.report, page=AUDIT.page, attested_at=NOW).predicate

    judgement = AUDIT.report.judgement
    assert (predicate.verdict, predicate.claim) == (judgement.verdict, judgement.claim)
    assert predicate.attested_at == microseconds(NOW)
    assert predicate.started_at == AUDIT.report.evidence.facts.started_at


def test_a_signed_statement_comes_back_as_it_was() -> None:
    statement = plan_statement(AUDIT.plan, attested_at=NOW)
    envelope = read_envelope(attest(statement, SIGNER))

    assert envelope.payload_type == PAYLOAD_TYPE
    assert read_statement(PlanStatement, envelope.payload) == statement
    assert canonical_bytes(json.loads(envelope.payload)) == envelope.payload


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "urn:unlearning:plan:v1"},
        {"subject": []},
        {"more": 1},
    ],
)
def test_another_statement_is_refused(change: dict[str, object]) -> None:
    document = json.loads(audit_statement(AUDIT.report, page=AUDIT.page, attested_at=NOW).to_bytes()) | change

    with pytest.raises(SignatureError, match="no AuditStatement"):
        read_statement(AuditStatement, canonical_bytes(document))


def test_times_are_exact_to_the_microsecond() -> None:
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1_780_000_000_000_001)) == (
        1_780_000_000_000_001
    )
