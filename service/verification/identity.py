"""Level 1: whether everything in the bundle is what the signed statements, the report and the plan speak of."""

import hashlib
from collections.abc import Callable

from pydantic import BaseModel

from mcu_core.report.document import AttemptSummary
from mcu_core.report.evidence import Role
from service.attestation import PAGE, PLAN, POLICY, REPORT, SCORES, WEIGHTS, audit_predicate
from service.domain.comparison import document_difference
from service.verification.checks import CheckFailedError, CheckName, NotAskedError, demand
from service.verification.contents import Attempt, Contents
from service.verification.page import shown_verdicts


def identity_checks(contents: Contents, weights_digest: str | None) -> dict[CheckName, Callable[[], str]]:
    """Return the checks of level 1, in order.

    Args:
        contents: of the bundle.
        weights_digest: SHA-256 of the weights that somebody has beside the bundle.
    """
    return {
        CheckName.DIGEST_MEMBERS: lambda: _members(contents),
        CheckName.DIGEST_WEIGHTS: lambda: _weights(contents, weights_digest),
        CheckName.REPORT_STATEMENT: lambda: _statements(contents),
        CheckName.REPORT_SUBJECTS: lambda: _subjects(contents),
        CheckName.REPORT_PLAN: lambda: _plans(contents),
        CheckName.PAGE_VERDICT: lambda: _page(contents),
        CheckName.ATTEMPTS_COMPLETE: lambda: _attempts(contents),
    }


def _members(contents: Contents) -> str:
    checked = 0
    for attempt in contents.attempts:
        stated = attempt.report_statement.digests
        for member, digest in stated.items():
            if attempt.name(member) in contents.bundle.members:
                wrong = f"{attempt.name(member)} is not the one that was signed"
                demand(hashlib.sha256(attempt.read(member)).hexdigest() == digest, wrong)
                checked += 1
        for member, digest in attempt.plan_statement.digests.items():
            wrong = f"the {member} that was signed before the run is not the one that the report was signed with"
            demand(stated.get(member) == digest, f"{attempt.name(REPORT)}: {wrong}")
    return f"{checked} members have the digests that were signed."


def _weights(contents: Contents, given: str | None) -> str:
    stated = contents.main.report_statement.digests.get(WEIGHTS)
    found = [digest for digest in (contents.bundle.model_digest, given) if digest is not None]
    if not found:
        raise NotAskedError("No weights are in the bundle and none were given: whether yours were audited is open.")
    demand(all(digest == stated for digest in found), "these weights are not those that were audited")
    return "The weights are those that were audited."


def _statements(contents: Contents) -> str:
    for attempt in contents.attempts:
        stated = attempt.report_statement
        expected = audit_predicate(attempt.report, attested_at=stated.predicate.attested_at)
        _same(stated.predicate, expected, f"{attempt.name('report.dsse.json')}, against the report")
        planned, plan = attempt.plan_statement.predicate, attempt.plan
        about = (planned.run_id, planned.lineage, planned.attempt, planned.policy)
        right = (plan.run_id, plan.lineage, plan.attempt, plan.policy)
        demand(about == right, f"{attempt.name('plan.dsse.json')} speaks of another run, attempt or policy")
    return "What was signed is what the reports say: run, verdict, claim, digests, times."


def _subjects(contents: Contents) -> str:
    for attempt in contents.attempts:
        report, digests = attempt.report, attempt.report.evidence.facts.digests
        stated = attempt.report_statement.digests
        about, where = report.subjects, attempt.name(REPORT)
        pairs = {
            "candidate": (about.candidate, stated.get(WEIGHTS)),
            "scores": (about.scores, stated.get(SCORES)),
            "plan": (about.plan, stated.get(PLAN)),
            "policy": (about.policy, stated.get(POLICY)),
            "scored candidate": (digests.get(Role.CANDIDATE), about.candidate),
            "scored original": (digests.get(Role.ORIGINAL), about.base_model),
            "plan of the scores": (report.evidence.facts.plan, about.plan),
        }
        for name, (said, right) in pairs.items():
            demand(said == right, f"{where}: the {name} is another one than was signed or is reported")
    demand(contents.main.policy.version == contents.main.report.policy_version, "the policy has another version")
    return "Candidate, original, scores, plan and policy of the reports are the signed ones."


def _plans(contents: Contents) -> str:
    for attempt in contents.attempts:
        report, plan, where = attempt.report, attempt.plan, attempt.name(PLAN)
        _same(report.plan, plan, f"the plan in {attempt.name(REPORT)}, against {where}")
        about = report.subjects
        for name in ("run_id", "lineage", "base_model", "manifest", "resolution", "policy", "spec"):
            demand(getattr(about, name) == getattr(plan, name), f"{where}: {name} is another one than the report's")
        demand((report.attempt, report.rung) == (plan.attempt, plan.rung), f"{where} is of another attempt or rung")
        asked = (report.deletion.root, report.deletion.samples)
        demand(asked == (plan.forget_root, plan.forget_count), f"{where} plans to forget other samples")
    return "The reports follow the plans that were signed before."


def _page(contents: Contents) -> str:
    verdict = contents.main.report.judgement.verdict.value
    shown = shown_verdicts(contents.main.read(PAGE))
    demand(shown == [verdict], f"{PAGE} shows {' and '.join(shown) or 'no verdict'}, the report says {verdict}")
    return f"The page shows the report's verdict, {verdict}."


def _attempts(contents: Contents) -> str:
    main, previous = contents.main.report, contents.main.report.previous_attempts
    told, found = [summary.attempt for summary in previous], list(contents.bundle.attempts)
    demand(told == found, f"the report tells of earlier attempts {told}, the bundle has {found}")
    demand(all(number < main.attempt for number in found), "an earlier attempt is not earlier")
    for position, (summary, attempt) in enumerate(zip(previous, contents.earlier, strict=True)):
        one, other = attempt.report.subjects, main.subjects
        same = (one.run_id, one.spec, one.policy) == (other.run_id, other.spec, other.policy)
        demand(same, f"{attempt.name(REPORT)} is of another run")
        _same(summary, _summary(attempt), f"attempt {summary.attempt} as the report tells it")
        before = attempt.report.previous_attempts
        demand(before == previous[:position], f"{attempt.name(REPORT)} tells of other earlier attempts")
        demand(attempt.plan.audits_before == position, f"{attempt.name(PLAN)} counts other audits before it")
    counted = contents.main.plan.audits_before
    demand(counted == len(previous), f"the plan counts {counted} audits before this one, the report {len(previous)}")
    return f"All {len(previous)} earlier attempts are here, and are as the report tells them."


def _summary(attempt: Attempt) -> AttemptSummary:
    report = attempt.report
    return AttemptSummary(
        attempt=report.attempt,
        rung=report.rung,
        rung_kind=report.rung_kind,
        verdict=report.judgement.verdict,
        claim=report.judgement.claim,
        plan_digest=hashlib.sha256(attempt.read(PLAN)).hexdigest(),
        report_digest=hashlib.sha256(attempt.read(REPORT)).hexdigest(),
    )


def _same(stated: BaseModel, expected: BaseModel, where: str) -> None:
    difference = document_difference(stated, expected)
    if difference is not None:
        raise CheckFailedError(f"{where}: {difference}")
