"""Level 3 without anything that scores: what passes for rounding, what does not, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mcu_core.report import AuditReport, Group, Role
from mcu_core.statistics.scores import ScoreTable, from_parquet, to_parquet
from service.bundle import Bundle
from service.errors import PremiseError
from service.verification.checks import CheckName, CheckResult, Outcome
from service.verification.score_comparison import LARGEST, MEDIAN
from service.verification.verify import verify
from tests.bundles import members_of
from tests.unit.service.verification.test_recomputation import KEYS, honest, rescored


def checked(rescore: Callable[[AuditReport, int], ScoreTable]) -> dict[CheckName, CheckResult]:
    results = verify(Bundle(members=members_of([honest()])), KEYS, level=3, rescore=rescore)
    return {result.name: result for result in results if result.level == 3}


def failures(change: Callable[[ScoreTable], ScoreTable]) -> list[CheckName]:
    """Return what fails when scoring once more gives the scores of the bundle with a change."""
    found = checked(lambda _report, _signed: change(as_computed(from_parquet(honest().scores))))
    return [name for name, result in found.items() if result.outcome is Outcome.FAILED]


def as_computed(table: ScoreTable) -> ScoreTable:
    """Return the table without the model that is purged with a run."""
    return replace(table, models={role: part for role, part in table.models.items() if role is not Role.PRE_UNLEARNED})


def with_digest(table: ScoreTable, role: Role) -> ScoreTable:
    digests = {**table.facts.digests, role: "0" * 64}
    return replace(table, facts=table.facts.model_copy(update={"digests": digests}))


def with_phi(table: ScoreTable, role: Role, change: Callable[[np.ndarray], np.ndarray]) -> ScoreTable:
    scores = table.models[role]
    return replace(table, models={**table.models, role: replace(scores, phi=change(scores.phi))})


def test_the_same_scores_pass_and_what_is_purged_is_not_asked() -> None:
    found = checked(lambda _report, _signed: as_computed(from_parquet(honest().scores)))
    outcomes = {name: result.outcome for name, result in found.items()}
    not_asked = {CheckName.SCORES_PRE_UNLEARNED, CheckName.SCORES_REFERENCES}
    assert {name for name, outcome in outcomes.items() if outcome is Outcome.NOT_ASKED} == not_asked
    assert Outcome.FAILED not in outcomes.values()
    assert "The verdict does not rest on it" in found[CheckName.SCORES_PRE_UNLEARNED].text


def test_scoring_is_told_when_the_plan_was_signed() -> None:
    told: list[int] = []

    def rescore(report: AuditReport, signed_at: int) -> ScoreTable:
        told.append(signed_at - report.plan.created_at)
        return as_computed(from_parquet(honest().scores))

    checked(rescore)
    assert told == [1_000_000]


def test_what_fails_is_tried_once_and_every_check_says_so() -> None:
    tried: list[str] = []

    def rescore(report: AuditReport, _signed_at: int) -> ScoreTable:
        tried.append(report.plan.run_id)
        raise PremiseError("the weights are gone")

    found = checked(rescore)
    assert tried == ["run-1"]
    assert all(result.outcome is Outcome.FAILED for result in found.values())
    assert found.pop(CheckName.PREMISES).text == "The weights are gone."
    assert {result.text for result in found.values()} == {"Nothing was scored once more: see premises."}


@pytest.mark.parametrize("role", [Role.ORIGINAL, Role.CANDIDATE])
def test_rounding_passes_and_another_model_does_not(role: Role) -> None:
    noise = np.random.default_rng(0).normal(0.0, MEDIAN / 2, len(from_parquet(honest().scores).label))
    check = CheckName(f"scores.{role.value}")
    assert failures(lambda table: with_phi(table, role, lambda phi: phi + noise)) == []
    assert check in failures(lambda table: with_phi(table, role, lambda phi: phi + 5 * MEDIAN)), "all a little"
    one = np.zeros(len(noise))
    one[7] = 10 * LARGEST
    assert check in failures(lambda table: with_phi(table, role, lambda phi: phi + one)), "one sample"


def test_other_predictions_are_another_model() -> None:
    def change(table: ScoreTable, count: int) -> ScoreTable:
        scores = table.models[Role.CANDIDATE]
        prediction = scores.prediction.copy()
        prediction[:count] = (prediction[:count] + 1) % 10
        return replace(table, models={**table.models, Role.CANDIDATE: replace(scores, prediction=prediction)})

    assert CheckName.SCORES_CANDIDATE not in failures(lambda table: change(table, 1))
    assert CheckName.SCORES_CANDIDATE in failures(lambda table: change(table, 30))


def test_relearning_may_round_by_less_than_half_of_what_it_moves() -> None:
    def between(share: float) -> Callable[[ScoreTable], ScoreTable]:
        def change(table: ScoreTable) -> ScoreTable:
            one, other = (table.models[role].phi for role in (Role.RELEARNED, Role.CANDIDATE))
            return with_phi(table, Role.RELEARNED, lambda _phi: one + share * (other - one))

        return change

    assert failures(lambda table: with_digest(between(0.2)(table), Role.RELEARNED)) == []
    assert failures(lambda table: with_digest(between(0.9)(table), Role.RELEARNED)) == [CheckName.SCORES_RELEARNED]
    assert failures(between(0.2)) == [CheckName.SCORES_RELEARNED], "the same weights do not answer otherwise"


def test_a_part_whose_relearned_scores_are_others_is_found_however_small() -> None:
    def change(table: ScoreTable) -> ScoreTable:
        forget = table.group == Group.FORGET.value
        return with_digest(with_phi(table, Role.RELEARNED, lambda phi: phi - 3.0 * forget), Role.RELEARNED)

    assert CheckName.SCORES_RELEARNED in failures(change)


def test_another_digest_of_the_weights_is_another_fact() -> None:
    assert CheckName.FACTS in failures(lambda table: with_digest(table, Role.CANDIDATE))


@pytest.mark.parametrize("role", [Role.ORIGINAL, Role.CANDIDATE, Role.RELEARNED])
def test_scores_that_lack_a_model_fail_and_are_no_traceback(role: Role) -> None:
    whole = from_parquet(honest().scores)
    lacking = replace(whole, models={other: part for other, part in whole.models.items() if other is not role})
    members = members_of([rescored(honest(), to_parquet(lacking))])
    results = verify(Bundle(members=members), KEYS, level=3, rescore=lambda _report, _signed: as_computed(whole))
    failed = {result.name for result in results if result.level == 3 and result.outcome is Outcome.FAILED}
    assert {CheckName(f"scores.{role.value}"), CheckName.GATE_RESCORED} <= failed


def test_level_3_needs_something_that_scores() -> None:
    with pytest.raises(RuntimeError, match="needs something that scores"):
        verify(Bundle(members=members_of([honest()])), KEYS, level=3)
