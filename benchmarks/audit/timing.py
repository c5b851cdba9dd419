"""How long an audit takes: SCORE against a plain evaluation, and everything after it for a large deletion."""

from dataclasses import replace
from pathlib import Path

from benchmarks import measure, score_time
from benchmarks.audit import results
from benchmarks.audit.setting import shipped_policy
from mcu_core import models
from mcu_core.audit.score import Origin, score
from mcu_core.judging.decide import decide
from mcu_core.report import AuditReport, Deletion, Subjects
from mcu_core.report.evidence import BatchNormSource, Group, Role
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import ScoreTable, from_parquet, to_parquet
from service.report_page import render

PARTS = (6_000, 2_048, 64, 2_000, 2_000, 10_000)
"""Images of D_f, D_r, D_v, D_t, C_cal, C_eval: 6 000 to be forgotten against 10 000 unseen ones."""
MEMORY = 3.0
"""What the original has more of φ on D_f, so that the audit is not over at its controls."""
AFTER_SCORE_SECONDS = 10.0
"""Most that STATS, GATE and the report may take."""


def measured(folder: Path, *, network: str, small: str, rounds: int, parts: tuple[int, ...] = PARTS) -> None:
    """Measure both and keep the result.

    Args:
        folder: of the results.
        network: that SCORE asks.
        small: untrained network whose scores STATS reads: what they are is no matter of time.
        rounds: that are timed.
        parts: numbers of images, as `PARTS`.
    """
    after = after_score(small, rounds=rounds, parts=parts)
    found = {"network": network, "score": score_time.compare(network, rounds=rounds), "after_score": after}
    results.write("time", found, folder)


def after_score(network: str, *, rounds: int, parts: tuple[int, ...] = PARTS) -> measure.Json:
    """Time each step from `scores.parquet` to the HTML page."""
    table, plan = audited(network, parts)
    content, policy = to_parquet(table), shipped_policy()
    evidence = evidence_of(table, plan)
    judgement = decide(evidence, plan, policy)
    digest = plan.base_model
    report = AuditReport(
        subjects=Subjects(
            run_id=plan.run_id, lineage=plan.lineage, base_model=digest, candidate=table.facts.digests[Role.CANDIDATE],
            manifest=digest, resolution=digest, policy=policy.digest, spec=digest, plan=plan.digest, scores=digest,
        ),
        deletion=Deletion(tickets=1, samples=plan.forget_count, root=digest),
        attempt=1,
        rung=0,
        rung_kind="mcu",
        seed=plan.seed,
        config=score_time.CONFIG,
        policy_version=policy.version,
        plan=plan,
        evidence=evidence,
        judgement=judgement,
        previous_attempts=(),
    )  # fmt: skip
    timings = measure.interleave(
        {
            "read": lambda: from_parquet(content),
            "stats": lambda: evidence_of(table, plan),
            "gate": lambda: decide(evidence, plan, policy),
            "json": report.to_bytes,
            "html": lambda: render(report),
        },
        rounds=rounds,
        warm_up=1,
    )
    return {
        "forget": plan.forget_count,
        "nonmembers": len(table.rows(Group.EVALUATION)),
        "verdict": judgement.verdict,
        "target_seconds": AFTER_SCORE_SECONDS,
        "median_seconds": round(sum(timing.median_seconds for timing in timings.values()), 3),
        "timings": measure.as_json(timings),
    }


def audited(network: str, parts: tuple[int, ...]) -> tuple[ScoreTable, AuditPlan]:
    """Return scores of untrained models, of which the original remembers D_f, and their plan."""
    problem, sealed, outcome = score_time.build(network, parts)
    outcome = outcome.with_candidate(models.initialise(problem.architecture, 2))
    policy = shipped_policy()
    plan = score_time.plan_of(len(problem.forget)).model_copy(
        update={"policy": policy.digest, "tail_level": policy.tail_level}
    )
    table = score(problem, sealed, outcome, plan, config=score_time.CONFIG, origin=Origin(started_at=1))
    plan = plan.model_copy(update={"base_model": table.facts.digests[Role.ORIGINAL]})
    facts = table.facts.model_copy(update={"plan": plan.digest, "batchnorm": BatchNormSource.REPRODUCED})
    original = table.models[Role.ORIGINAL]
    remembered = original.phi + MEMORY * (table.group == Group.FORGET.value)
    scores = {**table.models, Role.ORIGINAL: replace(original, phi=remembered)}
    return replace(table, facts=facts, models=scores), plan
