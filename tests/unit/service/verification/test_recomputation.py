"""Level 2: a signer who lies about the numbers, the verdict or the thresholds is found out by recomputing."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from mcu_core.judging.decide import decide
from mcu_core.report.evidence import Role
from mcu_core.report.judgement import Verdict
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import ScoreTable, from_parquet, to_parquet
from service.bundle import Bundle, write_bundle
from service.signing import load_public_key
from service.verification.checks import CheckName, Outcome
from service.verification.verify import verify
from tests.bundles import SIGNER, WEIGHTS, Audit, judged, members_of
from tests.evidence import a_report
from tests.results import POLICY
from tests.score_tables import Scene, plan_of, table_of

KEYS = [load_public_key(SIGNER.public_key.pem.encode())]
SCENE = Scene(forget=60, retain=80, test=80, calibration=200, evaluation=200, canaries=40, pre_unlearned=-1.0)


@cache
def honest() -> Audit:
    """Return an audit whose report follows from its scores: rejected, since so few samples cannot bound its loss."""
    plan = plan_of(SCENE).model_copy(update={"policy": POLICY.digest, "tail_level": POLICY.tail_level})
    table = table_of(SCENE)
    digests = table.facts.digests | {Role.CANDIDATE: hashlib.sha256(WEIGHTS).hexdigest()}
    facts = table.facts.model_copy(update={"plan": plan.digest, "digests": digests})
    return scored(Audit(plan=plan, report=a_report(plan), scores=b""), replace(table, facts=facts))


def scored(audit: Audit, table: ScoreTable) -> Audit:
    """Return the audit with these scores and what follows from them."""
    scores, evidence = to_parquet(table), evidence_of(table, audit.plan)
    report = a_report(audit.plan, evidence, judgement=decide(evidence, audit.plan, audit.policy))
    return rescored(replace(audit, report=report), scores)


def rescored(audit: Audit, scores: bytes) -> Audit:
    """Return the audit with other scores under the same report."""
    subjects = audit.report.subjects.model_copy(update={"scores": hashlib.sha256(scores).hexdigest()})
    return replace(audit, scores=scores, report=audit.report.model_copy(update={"subjects": subjects}))


def failures(audit: Audit) -> dict[CheckName, str]:
    results = verify(Bundle(members=members_of([audit])), KEYS, level=2)
    return {result.name: result.text for result in results if result.outcome is Outcome.FAILED}


def flipped_verdict() -> Audit:
    stated = honest().report.judgement
    assert stated.verdict is Verdict.REJECT
    return judged(honest(), stated.model_copy(update={"verdict": Verdict.ACCEPT_POWERED}))


def weakened_finding() -> Audit:
    stated = honest().report.judgement
    findings = (stated.findings[0].model_copy(update={"passed": not stated.findings[0].passed}), *stated.findings[1:])
    return judged(honest(), stated.model_copy(update={"findings": findings}))


def moved_threshold() -> Audit:
    policy = POLICY.model_copy(update={"test_accuracy_loss_margin": POLICY.test_accuracy_loss_margin / 2})
    plan = honest().plan.model_copy(update={"policy": policy.digest})
    table = from_parquet(honest().scores)
    table = replace(table, facts=table.facts.model_copy(update={"plan": plan.digest}))
    moved = scored(replace(honest(), plan=plan, policy=policy), table)
    return judged(moved, honest().report.judgement)


def edited_number() -> Audit:
    evidence = honest().report.evidence
    (first, *others) = evidence.primary
    value = (first.value or 0.0) + 1e-6
    edited = evidence.model_copy(update={"primary": (first.model_copy(update={"value": value}), *others)})
    return replace(honest(), report=honest().report.model_copy(update={"evidence": edited}))


def edited_score() -> Audit:
    table = from_parquet(honest().scores)
    phi = table.models[Role.CANDIDATE].phi.copy()
    phi[:5] += 1.0
    models = {**table.models, Role.CANDIDATE: replace(table.models[Role.CANDIDATE], phi=phi)}
    return rescored(honest(), to_parquet(replace(table, models=models)))


def other_facts() -> Audit:
    table = from_parquet(honest().scores)
    return rescored(honest(), to_parquet(replace(table, facts=table.facts.model_copy(update={"shared_rows": 1}))))


def truncated_scores() -> Audit:
    return rescored(honest(), honest().scores[:-4])


def no_scores() -> Audit:
    return rescored(honest(), b"")


def uncountable_audits() -> Audit:
    """Return an audit of an attempt whose level is below what a number can hold."""
    plan = honest().plan.model_copy(update={"audits_before": 10**15})
    return replace(honest(), plan=plan)


def test_a_level_that_no_number_holds_fails_the_gates_check() -> None:
    assert "no verdict follows" in failures(uncountable_audits())[CheckName.GATE].lower()


def test_an_honest_audit_recomputes() -> None:
    assert failures(honest()) == {}


@pytest.mark.parametrize(
    ("tamper", "checks", "says"),
    [
        (flipped_verdict, [CheckName.GATE], "The verdict is "),
        (weakened_finding, [CheckName.GATE], "judgement.findings[0].passed is "),
        (moved_threshold, [CheckName.GATE], "judgement.reasons[0].t"),
        (edited_number, [CheckName.STATISTICS], "evidence.primary[0].value is "),
        (edited_score, [CheckName.STATISTICS], "evidence."),
        (other_facts, [CheckName.STATISTICS], "evidence.facts.shared_rows is 0, not 1"),
        (truncated_scores, [CheckName.STATISTICS, CheckName.GATE], "nothing can be computed"),
        (no_scores, [CheckName.STATISTICS, CheckName.GATE], "nothing can be computed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_lie_that_its_signer_signed_fails_and_is_named(
    tamper: Callable[[], Audit], checks: list[CheckName], says: str
) -> None:
    found = failures(tamper())

    assert [name for name in found if name in checks] == checks, found
    assert found.keys() <= {CheckName.STATISTICS, CheckName.GATE}
    assert says.lower() in found[checks[0]].lower()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_with_another_number_of_threads_recomputes_the_same(threads: str, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle.zip", members_of([honest()]))
    (tmp_path / "public.pem").write_text(SIGNER.public_key.pem)
    command = [sys.executable, "-m", "service", "verify", str(tmp_path / "bundle.zip"), "--level", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    done = subprocess.run(
        [*command, "--key", str(tmp_path / "public.pem")], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
