"""Level 0: who signed, whether the documents are of their schema, and whether the plan is older than the run."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from service.attestation import PAGE, PAYLOAD_TYPE, PLAN, POLICY, REPORT, SCORES, WEIGHTS
from service.bundle import ATTEMPT_MEMBERS, REQUIRED
from service.errors import SignatureError
from service.signing import verify_envelope
from service.verification.checks import CheckFailedError, CheckName, demand
from service.verification.contents import Attempt, Contents

AUDIT_SUBJECTS = frozenset({WEIGHTS, REPORT, SCORES, PLAN, POLICY})
PLAN_SUBJECTS = frozenset({PLAN, POLICY})


def authenticity_checks(contents: Contents, keys: Sequence[SSlibKey]) -> dict[CheckName, Callable[[], str]]:
    """Return the checks of level 0, in order; each returns a sentence or raises `CheckFailedError`."""
    main = contents.main
    return {
        CheckName.BUNDLE_MEMBERS: lambda: _members(contents),
        CheckName.SIGNATURE_REPORT: lambda: _signature(main.report_envelope, keys, "the report's statement"),
        CheckName.SIGNATURE_PLAN: lambda: _signature(main.plan_envelope, keys, "the plan's statement"),
        CheckName.SIGNATURE_ATTEMPTS: lambda: _attempt_signatures(contents, keys),
        CheckName.SCHEMA: lambda: _schema(contents),
        CheckName.STATEMENT_SUBJECTS: lambda: _subjects(contents),
        CheckName.PLAN_BEFORE_RUN: lambda: _plan_before_run(contents),
    }


def _members(contents: Contents) -> str:
    bundle = contents.bundle
    demand(not bundle.unknown, f"the bundle has members that no bundle has: {', '.join(bundle.unknown)}")
    needed = {attempt.name(member) for attempt in contents.earlier for member in ATTEMPT_MEMBERS} | REQUIRED
    missing = sorted(needed - set(bundle.members))
    demand(not missing, f"the bundle lacks {', '.join(missing)}")
    return f"The bundle has the {len(needed)} members that it must have and no other."


def _signature(envelope: Envelope, keys: Sequence[SSlibKey], what: str) -> str:
    try:
        key_id = verify_envelope(envelope, keys, PAYLOAD_TYPE)
    except SignatureError as error:
        raise CheckFailedError(f"{what}: {error.message}") from error
    return f"{what[0].upper()}{what[1:]} is signed by key {key_id[:16]}."


def _attempt_signatures(contents: Contents, keys: Sequence[SSlibKey]) -> str:
    for attempt in contents.earlier:
        _signature(attempt.report_envelope, keys, attempt.name("report.dsse.json"))
        _signature(attempt.plan_envelope, keys, attempt.name("plan.dsse.json"))
    return f"Plans and reports of {len(contents.earlier)} earlier attempts are signed."


def _schema(contents: Contents) -> str:
    for attempt in contents.attempts:
        _ = attempt.report, attempt.plan, attempt.report_statement, attempt.plan_statement
    _ = contents.main.policy
    return "Reports, plans, policy and statements are of their schemas and canonical."


def _subjects(contents: Contents) -> str:
    for attempt in contents.attempts:
        names = [subject.name for subject in attempt.report_statement.subject]
        # Only what is published has a page; an earlier attempt may have had one.
        right = [AUDIT_SUBJECTS | {PAGE}] if attempt.number is None else [AUDIT_SUBJECTS, AUDIT_SUBJECTS | {PAGE}]
        what = attempt.name("report.dsse.json")
        demand(set(names) in right and len(set(names)) == len(names), f"{what} speaks of {', '.join(names)}")
        planned = [subject.name for subject in attempt.plan_statement.subject]
        what = attempt.name("plan.dsse.json")
        demand(sorted(planned) == sorted(PLAN_SUBJECTS), f"{what} speaks of {', '.join(planned)}")
    return "The statements speak of weights, report, page, scores, plan and policy."


def _plan_before_run(contents: Contents) -> str:
    for attempt in contents.attempts:
        _in_time(attempt)
    for one, next_one in pairwise(contents.attempts):
        later = one.report.evidence.facts.started_at < next_one.report.evidence.facts.started_at
        demand(later, f"{next_one.name(REPORT)} started before the attempt that it follows")
    facts = contents.main.report.evidence.facts
    lead = (facts.started_at - contents.main.plan_statement.predicate.attested_at) / 1e6
    return f"The plan was signed {lead:.3f} seconds before the run started."


def _in_time(attempt: Attempt) -> None:
    created, signed = attempt.plan.created_at, attempt.plan_statement.predicate.attested_at
    started = attempt.report.evidence.facts.started_at
    demand(created <= signed, f"{attempt.name(PLAN)} is dated after its own signature")
    demand(signed < started, f"{attempt.name(PLAN)} was not signed before the run started")
    reported = attempt.report_statement.predicate.attested_at
    demand(started <= reported, f"{attempt.name(REPORT)} was signed before the run started")
