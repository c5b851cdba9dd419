"""Bundles that somebody tampered with fail, each at the check that is there for it."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.report.judgement import Verdict
from service.attestation import PAYLOAD_TYPE
from service.bundle import Bundle
from service.domain.canonical import canonical_bytes
from service.evidence import judged_members
from service.signing import Signer, load_public_key
from service.verification.checks import CheckName, CheckResult, Outcome, passed
from service.verification.verify import verify
from tests.bundles import FORGER, HOUR, SIGNER, WEIGHTS, an_audit, at, members_of

KEYS = [load_public_key(SIGNER.public_key.pem.encode())]
REJECTED = an_audit(verdict=Verdict.REJECT)
ACCEPTED = an_audit([REJECTED])
HONEST = members_of([REJECTED, ACCEPTED])
Members = dict[str, bytes]


def checked(members: Members, *, weights: bytes | None = None, model: bytes | None = None) -> tuple[CheckResult, ...]:
    bundle = Bundle(members=members, model_digest=None if model is None else hashlib.sha256(model).hexdigest())
    given_digest = None if weights is None else hashlib.sha256(weights).hexdigest()
    return verify(bundle, KEYS, level=1, weights_digest=given_digest)


def first_failure(results: tuple[CheckResult, ...]) -> CheckResult | None:
    assert passed(results) == all(result.outcome is not Outcome.FAILED for result in results)
    return next((result for result in results if result.outcome is Outcome.FAILED), None)


def edited(document: bytes, *path: str | int, to: Any) -> bytes:
    """Return a JSON document with one value changed, still canonical."""
    value = json.loads(document)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    assert inner[path[-1]] != to
    inner[path[-1]] = to
    return canonical_bytes(value)


def restated(envelope: bytes, *path: str | int, to: Any, signer: Signer | None = None) -> bytes:
    """Return an envelope whose statement has one value changed, signed anew by somebody or with the old signature."""
    document = json.loads(envelope)
    payload = edited(base64.b64decode(document["payload"]), *path, to=to)
    if signer is not None:
        return signer.sign(payload, PAYLOAD_TYPE)
    return canonical_bytes(document | {"payload": base64.b64encode(payload).decode()})


def test_an_honest_bundle_passes_every_check() -> None:
    results = checked(HONEST, weights=WEIGHTS, model=WEIGHTS)

    assert [result.outcome for result in results] == [Outcome.PASSED] * 14, results
    assert {result.level for result in results} == {0, 1}


def test_a_bundle_of_a_first_attempt_passes() -> None:
    assert first_failure(checked(members_of([an_audit()]))) is None


def test_without_weights_their_digest_is_said_to_be_open() -> None:
    results = {result.name: result for result in checked(HONEST)}

    assert results[CheckName.DIGEST_WEIGHTS].outcome is Outcome.NOT_ASKED
    assert passed(tuple(results.values()))


def flipped_verdict() -> Members:
    report = edited(members_of([REJECTED])["report.json"], "judgement", "verdict", to="ACCEPT_POWERED")
    return members_of([REJECTED]) | {"report.json": report}


def moved_threshold() -> Members:
    return HONEST | {"policy.json": edited(HONEST["policy.json"], "margin", to=0.2)}


def dropped_attempt() -> Members:
    return {name: content for name, content in HONEST.items() if not name.startswith("attempts/")}


def half_an_attempt() -> Members:
    return {name: content for name, content in HONEST.items() if name != "attempts/0001/report.dsse.json"}


def replaced_attempt() -> Members:
    other = members_of([an_audit(verdict=Verdict.NEEDS_REVIEW), ACCEPTED])
    return HONEST | {name: content for name, content in other.items() if name.startswith("attempts/")}


def edited_score() -> Members:
    return HONEST | {"scores.parquet": HONEST["scores.parquet"].replace(b"2", b"3")}


def truncated_scores() -> Members:
    return HONEST | {"scores.parquet": HONEST["scores.parquet"][:-4]}


def plan_dated_after_the_run() -> Members:
    started = ACCEPTED.report.evidence.facts.started_at
    return HONEST | {"plan.json": edited(HONEST["plan.json"], "created_at", to=started + 1)}


def plan_signed_after_the_run() -> Members:
    started = ACCEPTED.report.evidence.facts.started_at
    late = restated(HONEST["plan.dsse.json"], "predicate", "attested_at", to=started + 1, signer=SIGNER)
    return HONEST | {"plan.dsse.json": late}


def plan_of_another_run() -> Members:
    plan = ACCEPTED.plan.model_copy(update={"run_id": "run-2"})
    other = replace(ACCEPTED, plan=plan).members()
    return HONEST | {name: other[name] for name in ("plan.json", "plan.dsse.json")}


def signed_by_another_key() -> Members:
    return HONEST | {"report.dsse.json": ACCEPTED.members(FORGER)["report.dsse.json"]}


def plan_signed_by_another_key() -> Members:
    return HONEST | {"plan.dsse.json": ACCEPTED.members(FORGER)["plan.dsse.json"]}


def attempt_signed_by_another_key() -> Members:
    return HONEST | {"attempts/0001/plan.dsse.json": REJECTED.members(FORGER)["plan.dsse.json"]}


def changed_page() -> Members:
    return HONEST | {"report.html": HONEST["report.html"].replace(b"ACCEPT_POWERED", b"REJECT")}


def page_that_its_signer_changed() -> Members:
    page = ACCEPTED.page.replace(b"ACCEPT_POWERED", b"REJECT")
    return HONEST | judged_members(ACCEPTED.report, page=page, signer=SIGNER, now=at(2 * ACCEPTED.plan.created_at))


def added_attempt() -> Members:
    more = {name.replace("0001", "0007"): HONEST[name] for name in HONEST if name.startswith("attempts/")}
    return HONEST | more


def replaced_subject() -> Members:
    other = hashlib.sha256(b"another model").hexdigest()
    swapped = restated(HONEST["report.dsse.json"], "subject", 0, "digest", "sha256", to=other)
    return HONEST | {"report.dsse.json": swapped}


def replaced_subject_signed_by_the_forger() -> Members:
    other = hashlib.sha256(b"another model").hexdigest()
    swapped = restated(HONEST["report.dsse.json"], "subject", 0, "digest", "sha256", to=other, signer=FORGER)
    return HONEST | {"report.dsse.json": swapped}


def subject_left_out() -> Members:
    subjects = json.loads(base64.b64decode(json.loads(HONEST["report.dsse.json"])["payload"]))["subject"]
    shorter = restated(HONEST["report.dsse.json"], "subject", to=subjects[:-1], signer=SIGNER)
    return HONEST | {"report.dsse.json": shorter}


def edited_evidence() -> Members:
    return HONEST | {"report.json": edited(HONEST["report.json"], "evidence", "primary", 0, "value", to=0.5125)}


def edited_evidence_signed_by_the_forger() -> Members:
    report = edited(HONEST["report.json"], "evidence", "primary", 0, "value", to=0.5125)
    subjects = json.loads(base64.b64decode(json.loads(HONEST["report.dsse.json"])["payload"]))["subject"]
    at = [subject["name"] for subject in subjects].index("report.json")
    digest = hashlib.sha256(report).hexdigest()
    statement = restated(HONEST["report.dsse.json"], "subject", at, "digest", "sha256", to=digest, signer=FORGER)
    return HONEST | {"report.json": report, "report.dsse.json": statement}


def statement_of_another_verdict() -> Members:
    lie = restated(HONEST["report.dsse.json"], "predicate", "verdict", to="ACCEPT_CANARY_BACKED", signer=SIGNER)
    return HONEST | {"report.dsse.json": lie}


def report_that_is_not_canonical() -> Members:
    return HONEST | {"report.json": json.dumps(json.loads(HONEST["report.json"])).encode()}


def report_with_a_number_that_readers_round() -> Members:
    report = HONEST["report.json"].replace(b'"seed":7', b'"seed":9007199254740993')
    assert report != HONEST["report.json"]
    return HONEST | {"report.json": report}


def statement_that_is_not_canonical() -> Members:
    payload = base64.b64decode(json.loads(HONEST["plan.dsse.json"])["payload"])
    return HONEST | {"plan.dsse.json": SIGNER.sign(payload + b" ", PAYLOAD_TYPE)}


def report_of_another_schema() -> Members:
    return HONEST | {"report.json": edited(HONEST["report.json"], "schema_version", to=3)}


def report_of_another_candidate() -> Members:
    subjects = ACCEPTED.report.subjects.model_copy(update={"candidate": hashlib.sha256(b"another").hexdigest()})
    return members_of([REJECTED, replace(ACCEPTED, report=ACCEPTED.report.model_copy(update={"subjects": subjects}))])


def report_that_forgets_an_attempt() -> Members:
    return members_of([replace(ACCEPTED, report=ACCEPTED.report.model_copy(update={"previous_attempts": ()}))])


def report_of_other_samples() -> Members:
    deletion = ACCEPTED.report.deletion.model_copy(update={"root": hashlib.sha256(b"others").hexdigest()})
    return members_of([REJECTED, replace(ACCEPTED, report=ACCEPTED.report.model_copy(update={"deletion": deletion}))])


def attempt_that_started_later() -> Members:
    facts = REJECTED.report.evidence.facts.model_copy(
        update={"started_at": ACCEPTED.report.evidence.facts.started_at + HOUR}
    )
    evidence = REJECTED.report.evidence.model_copy(update={"facts": facts})
    late = replace(REJECTED, report=REJECTED.report.model_copy(update={"evidence": evidence}))
    report = ACCEPTED.report.model_copy(update={"previous_attempts": (late.summary(),)})
    return members_of([late, replace(ACCEPTED, report=report)])


BY_A_STRANGER: dict[Callable[[], Members], CheckName] = {
    flipped_verdict: CheckName.DIGEST_MEMBERS,
    moved_threshold: CheckName.DIGEST_MEMBERS,
    dropped_attempt: CheckName.ATTEMPTS_COMPLETE,
    half_an_attempt: CheckName.BUNDLE_MEMBERS,
    replaced_attempt: CheckName.ATTEMPTS_COMPLETE,
    edited_score: CheckName.DIGEST_MEMBERS,
    truncated_scores: CheckName.DIGEST_MEMBERS,
    plan_dated_after_the_run: CheckName.PLAN_BEFORE_RUN,
    plan_of_another_run: CheckName.DIGEST_MEMBERS,
    signed_by_another_key: CheckName.SIGNATURE_REPORT,
    plan_signed_by_another_key: CheckName.SIGNATURE_PLAN,
    attempt_signed_by_another_key: CheckName.SIGNATURE_ATTEMPTS,
    changed_page: CheckName.DIGEST_MEMBERS,
    added_attempt: CheckName.PLAN_BEFORE_RUN,
    replaced_subject: CheckName.SIGNATURE_REPORT,
    replaced_subject_signed_by_the_forger: CheckName.SIGNATURE_REPORT,
    edited_evidence: CheckName.DIGEST_MEMBERS,
    edited_evidence_signed_by_the_forger: CheckName.SIGNATURE_REPORT,
    report_that_is_not_canonical: CheckName.SCHEMA,
    report_with_a_number_that_readers_round: CheckName.SCHEMA,
    report_of_another_schema: CheckName.SCHEMA,
}
BY_THE_SIGNER: dict[Callable[[], Members], CheckName] = {
    statement_that_is_not_canonical: CheckName.SCHEMA,
    plan_signed_after_the_run: CheckName.PLAN_BEFORE_RUN,
    subject_left_out: CheckName.STATEMENT_SUBJECTS,
    statement_of_another_verdict: CheckName.REPORT_STATEMENT,
    report_of_another_candidate: CheckName.REPORT_SUBJECTS,
    report_that_forgets_an_attempt: CheckName.ATTEMPTS_COMPLETE,
    report_of_other_samples: CheckName.REPORT_PLAN,
    page_that_its_signer_changed: CheckName.PAGE_VERDICT,
    attempt_that_started_later: CheckName.PLAN_BEFORE_RUN,
}


@pytest.mark.parametrize(
    ("tamper", "check"), (BY_A_STRANGER | BY_THE_SIGNER).items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_tampered_bundle_fails_at_the_check_for_it(tamper: Callable[[], Members], check: CheckName) -> None:
    failure = first_failure(checked(tamper()))

    assert failure is not None
    assert failure.name is check, failure.text


def test_a_swapped_model_fails_wherever_it_lies() -> None:
    for results in (checked(HONEST, model=b"another"), checked(HONEST, weights=b"another", model=WEIGHTS)):
        failure = first_failure(results)
        assert failure is not None
        assert failure.name is CheckName.DIGEST_WEIGHTS


def test_an_added_member_fails() -> None:
    results = verify(Bundle(members=HONEST, unknown=("notes.txt",)), KEYS, level=0)

    failure = first_failure(results)
    assert failure is not None
    assert (failure.name, failure.text) == (
        CheckName.BUNDLE_MEMBERS,
        "The bundle has members that no bundle has: notes.txt.",
    )


@pytest.mark.parametrize("name", sorted(HONEST))
def test_no_member_can_be_missing_or_empty(name: str) -> None:
    without = {member: content for member, content in HONEST.items() if member != name}

    assert not passed(checked(without))
    assert not passed(checked(HONEST | {name: b""}))


@given(st.sampled_from(sorted(HONEST)), st.integers(min_value=0), st.integers(1, 255))
def test_no_byte_of_a_member_can_be_changed(name: str, position: int, change: int) -> None:
    content = bytearray(HONEST[name])
    content[position % len(content)] ^= change

    assert not passed(checked(HONEST | {name: bytes(content)})) or _same_envelope(content, HONEST[name])


def _same_envelope(content: bytearray, honest: bytes) -> bool:
    """Base64 has bits that say nothing: an envelope that decodes to the same is the same."""
    try:
        one, other = json.loads(content), json.loads(honest)
        decoded = [base64.b64decode(document["signatures"][0]["sig"]) for document in (one, other)]
        return one["payload"] == other["payload"] and decoded[0] == decoded[1]
    except (ValueError, KeyError):
        return False


def test_a_check_that_cannot_be_made_has_failed() -> None:
    results = checked({})

    made = {result.name for result in results if result.outcome is Outcome.PASSED}
    assert made == {CheckName.SIGNATURE_ATTEMPTS}  # there are none


@pytest.mark.parametrize("level", [-1, 4])
def test_a_level_that_is_not_made_is_misuse(level: int) -> None:
    with pytest.raises(RuntimeError, match="of 0 to 3"):
        verify(Bundle(members=HONEST), KEYS, level=level)


def test_nothing_checked_is_nothing_passed() -> None:
    assert not passed(())
