"""Level 3: the scores once more, from the samples and the published weights, and what the gate says of those.

Levels 0 to 2 take the scores as they are. A worker that scored another model than it offered, other samples, or the
same ones under other labels, is found out here alone. What scores is handed in: it needs torch, and this does not.
"""

from collections.abc import Callable
from functools import cache

from mcu_core.errors import CoreError
from mcu_core.report import AuditReport, Role
from mcu_core.statistics.scores import ScoreTable, from_parquet
from service.attestation import SCORES
from service.errors import ServiceError
from service.verification.checks import CheckFailedError, CheckName, demand
from service.verification.contents import Contents
from service.verification.score_comparison import (
    compare_facts,
    compare_pre_unlearned,
    compare_references,
    compare_relearned,
    compare_samples,
    compare_scores,
    completed,
    require_same_size,
)

Rescore = Callable[[AuditReport, int], ScoreTable]
"""Scores the attempt of a report once more: without the pre-unlearned model, and without references that are gone.

It is told when the plan was signed, in microseconds since 1970-01-01 UTC. It raises errors of the service or the core
where something that it needs is missing, or is not what the plan names."""


_UNCOMPUTABLE = (CoreError, ValueError, ArithmeticError, LookupError)
"""What a table that is none, or facts that lack something, end in."""


def rescoring_checks(contents: Contents, rescore: Rescore) -> dict[CheckName, Callable[[], str]]:
    """Return the checks of level 3, in order; earlier attempts are not scored: nobody keeps their candidates.

    Raises:
        ImportError: the packages that compute statistics are not installed.
    """
    from mcu_core.judging.decide import decide  # noqa: PLC0415  # as at level 2
    from mcu_core.statistics.assemble import evidence_of  # noqa: PLC0415

    main = contents.main

    @cache
    def attempt() -> tuple[ScoreTable, ScoreTable] | str:
        """Return what is in the bundle and what was computed, or why nothing was: asked for once, failures too."""
        try:
            stated, signed_at = from_parquet(main.read(SCORES)), main.plan_statement.predicate.attested_at
            return stated, rescore(main.report, signed_at)
        except (ServiceError, CheckFailedError) as error:
            return str(error)
        except _UNCOMPUTABLE as error:
            return f"the scores cannot be computed once more: {error}"

    def tables() -> tuple[ScoreTable, ScoreTable]:
        found = attempt()
        if isinstance(found, str):
            raise CheckFailedError(f"nothing was scored once more: see {CheckName.PREMISES.value}")
        return found

    def premises() -> str:
        found = attempt()
        if isinstance(found, str):
            raise CheckFailedError(found)
        then, now = (table.facts.environment for table in found)
        return (
            "Specification, rows, split key, manifest and weights are those that the plan and the report name. Scored "
            f"then by torch {then.versions.get('torch')} on {then.processor}, now by torch {now.versions.get('torch')} "
            f"on {now.processor}."
        )

    def gate() -> str:
        stated, computed = tables()
        require_same_size(stated, computed)
        try:
            found = decide(evidence_of(completed(stated, computed), main.plan), main.plan, main.policy)
        except _UNCOMPUTABLE as error:
            raise CheckFailedError(f"nothing can be computed from the scores: {error}") from error
        said = main.report.judgement
        same = (said.verdict, said.claim) == (found.verdict, found.claim)
        why = "; ".join(reason.text.rstrip(".") for reason in found.reasons)
        text = f"the report says {said.verdict.value} ({said.claim.value}), the scores as computed once more say"
        demand(same, f"{text} {found.verdict.value} ({found.claim.value}): {why}")
        return f"The verdict {said.verdict.value} follows from the scores as computed once more."

    return {
        CheckName.PREMISES: premises,
        CheckName.SCORED_SAMPLES: lambda: compare_samples(*tables()),
        CheckName.SCORES_ORIGINAL: lambda: compare_scores(*tables(), Role.ORIGINAL),
        CheckName.SCORES_CANDIDATE: lambda: compare_scores(*tables(), Role.CANDIDATE),
        CheckName.SCORES_PRE_UNLEARNED: lambda: compare_pre_unlearned(tables()[0]),
        CheckName.SCORES_RELEARNED: lambda: compare_relearned(*tables()),
        CheckName.SCORES_REFERENCES: lambda: compare_references(*tables(), planned=main.plan.references is not None),
        CheckName.FACTS: lambda: compare_facts(*tables()),
        CheckName.GATE_RESCORED: gate,
    }
