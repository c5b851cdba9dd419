"""What a verdict says, and what it does not."""

from collections.abc import Iterator

from mcu_core.judging.case import FEW_SAMPLES, Case
from mcu_core.judging.equivalence import half_width, provable_margin
from mcu_core.report.evidence import Evidence, Result, Role
from mcu_core.report.judgement import Claim, Verdict
from mcu_core.report.parts import ModelName

FEW_FOR_A_NORMAL_ERROR = 100
"""Deleted samples below which the large-sample error of an AUC is named as an approximation."""


def claim_of(verdict: Verdict, case: Case) -> Claim:
    """Return the strongest sentence that this verdict supports with this many samples."""
    match verdict:
        case Verdict.ACCEPT_POWERED:
            return Claim.EQUIVALENT_WITHIN
        case Verdict.ACCEPT_CANARY_BACKED if case.size[0] < FEW_SAMPLES:
            return Claim.INDIVIDUAL_NOT_EXTREME
        case Verdict.ACCEPT_CANARY_BACKED:
            return Claim.NO_GROSS_RETENTION_DETECTED
        case _:
            return Claim.NOTHING


def limitations(case: Case) -> tuple[str, ...]:
    """Return what no verdict on this evidence says, one sentence each, the most important first."""
    evidence = case.evidence
    return (
        _size(case),
        *_instrument(case),
        *_individuals(evidence, case.plan.forget_count),
        *_duplicates(evidence, case.plan.forget_count),
        *_not_estimable(evidence),
        *_approximations(case),
        *_versions(evidence),
        "Only this model was audited: earlier versions, copies, backups and what was derived from them were not.",
    )


def _size(case: Case) -> str:
    """Say the row of audit.md's table "what may be said" that this many samples allow."""
    planned, (n, m) = case.plan.forget_count, case.size
    if m < 1:
        return f"The {planned} deleted samples were compared with nothing."
    of_people = f" of {n} people" if 1 < n < planned else " of one person" if n < planned else ""
    if n < FEW_SAMPLES:
        who = "the one deleted sample" if planned == 1 else f"each of the {planned} deleted samples{of_people}"
        return (
            f"Only {who} could be compared with unseen ones; nothing can be said of a group this small. A single "
            "sample that was not forgotten at all is noticed in fewer than half of all cases (43 % where measured)."
        )
    half = half_width(n, m, confidence=case.plan.confidence)
    provable = provable_margin(n, m, alpha=case.alpha, power=case.policy.least_power)
    least = (
        f"a perfect deletion is shown within {provable:.3f} of one half in {case.policy.least_power:.0%} of such audits"
        if provable < 0.5
        else "equivalence cannot be shown"
    )
    return f"{planned} deleted samples{of_people} against {m} unseen ones tell the AUC to within {half:.3f}; {least}."


def _instrument(case: Case) -> Iterator[str]:
    yield "A stronger attack than those used may see more."
    if case.plan.references is None:
        yield (
            "There were no reference models: scores were not corrected for how hard each sample is, "
            "which makes traces harder to see."
        )
    canaries = case.plan.canaries
    if canaries is None:
        yield "There were no canaries: the audit rests on the deleted samples alone."
    elif canaries.wanted is not None and 2 * canaries.included < canaries.wanted:
        yield (
            f"Only {canaries.included} of the {canaries.wanted} canaries that a run should have were left for this "
            "one, so that they show little. New ones are planted when a model is trained anew."
        )


def _individuals(evidence: Evidence, n: int) -> Iterator[str]:
    pooled = evidence.individuals.pooled
    if pooled:
        yield (
            f"{pooled} of {n} deleted samples are of a class that has no unseen samples to calibrate with: looked at "
            "alone, each of them was compared with unseen samples of all classes."
        )


def _duplicates(evidence: Evidence, n: int) -> Iterator[str]:
    found = evidence.facts.duplicates
    if found.exact or found.near:
        yield (
            f"{found.exact} deleted samples have an exact copy and {found.near} a near copy among the retained data: "
            "what they show was not forgotten there."
        )
    if found.searched < n:
        yield f"Only {found.searched} of {n} deleted samples were searched for copies among the retained data."


def _not_estimable(evidence: Evidence) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for result in _results(evidence):
        if result.not_estimable is not None:
            listed = names.setdefault(result.not_estimable, [])
            if result.name not in listed:
                listed.append(result.name)
    for reason, listed in names.items():
        yield f"Not estimable: {', '.join(listed)} ({reason})."


def _approximations(case: Case) -> Iterator[str]:
    if case.evidence.facts.names.get(Role.CANDIDATE) is not ModelName.RETRAINED:
        yield "Approximate unlearning is not retraining: the deleted data took part in how the model came about."
    if FEW_SAMPLES <= case.size[0] < FEW_FOR_A_NORMAL_ERROR:
        yield f"With {case.size[0]} independent deleted samples the error of the AUC is a large-sample approximation."
    if case.plan.audits_before > 0:
        yield (
            f"This is audited candidate number {case.plan.audits_before + 1} of the run; its level is {case.alpha:.4g}."
        )


def _versions(evidence: Evidence) -> Iterator[str]:
    pair = evidence.version_pair.value
    shown = "" if pair is None else f" (AUC {pair:.3f})"
    yield (
        "Whoever holds this version and the one before it can learn from their difference what was deleted"
        f"{shown}; publishing both exposes it."
    )


def _results(evidence: Evidence) -> Iterator[Result]:
    yield from (*evidence.primary, *evidence.positive_control, *evidence.negative_control)
    yield from (evidence.blind_baseline, evidence.calibration, evidence.relearned, *evidence.retained_exposure)
    yield evidence.version_pair
    if evidence.canaries is not None:
        canaries = evidence.canaries
        yield from (canaries.original, canaries.candidate, canaries.one_run, canaries.one_run_original)
    if evidence.forgotten_before is not None:
        yield evidence.forgotten_before
    yield from evidence.secondary
