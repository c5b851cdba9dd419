from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mcu_core import checkpoint
from mcu_core.audit.answers import Family, KnownAnswers, scores_of
from mcu_core.audit.batchnorm import batchnorm_rows
from mcu_core.audit.facts import Excluded
from mcu_core.audit.rows import CanaryRows
from mcu_core.audit.score import Origin, score
from mcu_core.config import Precision
from mcu_core.errors import ConfigurationError, DataError, DivergedError
from mcu_core.images import SealedSamples
from mcu_core.losses import label_logit
from mcu_core.report import ModelName
from mcu_core.report.evidence import BatchNormSource, Group, Role
from mcu_core.report.plan import ReferencesPlan, Signal
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import ModelScores, ScoreTable, from_parquet, to_parquet
from mcu_core.types import Outcome, Problem, ProgressUpdate, State
from tests.audits import RUNG, STARTED_AT, plan_of, retrained_as
from tests.cases import FORGET, TRAIN, tiny_config, tiny_runtime


def scored(problem: Problem, sealed: SealedSamples, outcome: Outcome, **settings: object) -> ScoreTable:
    chosen = {"config": tiny_config(), "origin": Origin(started_at=STARTED_AT), "plan": plan_of(), **settings}
    plan = chosen.pop("plan")
    return score(problem, sealed, outcome, plan, **chosen)  # type: ignore[arg-type]  # passed on


@pytest.fixture(scope="module")
def table(hidden: Problem, sealed: SealedSamples, retrained: Outcome) -> ScoreTable:
    return scored(hidden, sealed, retrained)


def same_but_for_times(table: ScoreTable) -> ScoreTable:
    facts = table.facts.model_copy(update={"phase_seconds": {}, "seconds": {}})
    return replace(table, facts=facts)


def test_every_group_has_its_samples(table: ScoreTable, hidden: Problem, sealed: SealedSamples) -> None:
    sizes = {group: len(table.rows(group)) for group in Group}
    assert sizes == {
        Group.FORGET: FORGET,
        Group.RETAIN: 30,
        Group.TEST: len(hidden.test),
        Group.CALIBRATION: len(sealed.calibration),
        Group.EVALUATION: len(sealed.evaluation),
        Group.CANARY_INCLUDED: 0,
        Group.CANARY_EXCLUDED: 0,
        Group.FORGOTTEN_BEFORE: 0,
    }
    labels = hidden.data.labels
    for group, rows in ((Group.FORGET, hidden.forget), (Group.EVALUATION, sealed.evaluation)):
        assert sorted(table.label[table.rows(group)]) == sorted(labels[rows].tolist())


@pytest.mark.parametrize("role", [Role.ORIGINAL, Role.CANDIDATE])
def test_scores_are_those_of_the_model_on_the_groups_samples(
    table: ScoreTable, problem: Problem, retrained: Outcome, sealed: SealedSamples, role: Role
) -> None:
    state = {Role.ORIGINAL: problem.original, Role.CANDIDATE: retrained.candidate.state}[role]
    for group, rows in ((Group.FORGET, problem.forget), (Group.EVALUATION, sealed.evaluation)):
        (expected,) = scores_of(tiny_runtime(sealed.open()), [state], rows)
        np.testing.assert_allclose(
            np.sort(table.models[role].phi[table.rows(group)]), np.sort(expected.phi), rtol=1e-4, atol=1e-4
        )  # float32 by batch


def test_rows_of_a_group_stand_in_no_order_of_the_data(table: ScoreTable, problem: Problem) -> None:
    forget = table.label[table.rows(Group.FORGET)]
    assert not np.array_equal(forget, problem.data.labels[problem.forget].numpy())


def test_a_table_repeats_with_its_seed_and_survives_its_file(
    table: ScoreTable, hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    again = to_parquet(same_but_for_times(scored(hidden, sealed, retrained)))
    assert again == to_parquet(same_but_for_times(table))
    read = from_parquet(to_parquet(table))
    assert read.facts == table.facts
    assert to_parquet(read) == to_parquet(table)


def test_another_seed_draws_and_orders_otherwise(
    table: ScoreTable, hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    other = scored(hidden, sealed, retrained, plan=plan_of(seed=12))
    rows = table.rows(Group.FORGET)
    assert not np.array_equal(table.models[Role.ORIGINAL].phi[rows], other.models[Role.ORIGINAL].phi[rows])


def test_the_candidates_digest_is_that_of_the_bytes_that_were_scored(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    content = checkpoint.to_bytes(retrained.candidate.state)
    digest = checkpoint.digest(retrained.candidate.state)
    stored = checkpoint.load(content, hidden.model, expected_digest=digest)
    facts = scored(hidden, sealed, retrained.with_candidate(stored)).facts
    assert facts.digests[Role.CANDIDATE] == digest
    assert facts.digests[Role.ORIGINAL] == checkpoint.digest(hidden.original)
    assert len(set(facts.digests.values())) == len(facts.digests) == 3


def test_facts_of_a_pathway_point_are_complete(hidden: Problem, sealed: SealedSamples, mcu: Outcome) -> None:
    origin = Origin(
        started_at=STARTED_AT,
        original_digest="9" * 64,
        batchnorm_rows=batchnorm_rows(hidden, RUNG, 0),
        excluded=Excluded(forgotten_before=5, held=2),
    )
    table = scored(hidden, sealed, mcu, origin=origin)
    facts = table.facts
    assert set(table.models) == set(facts.digests) == set(facts.names) == set(facts.seconds) == set(Role) - {Role.NONE}
    assert facts.plan == plan_of().digest
    assert facts.digests[Role.ORIGINAL] == "9" * 64
    assert facts.names[Role.PRE_UNLEARNED] is ModelName.NEGGRAD_PLUS
    assert facts.batchnorm is BatchNormSource.REPRODUCED
    assert facts.chosen_t == mcu.candidate.t
    assert facts.pathway == mcu.pathway_report
    assert facts.started_at == STARTED_AT
    assert facts.counts.train == TRAIN + 7
    assert facts.seconds[Role.CANDIDATE] == sum(mcu.seconds.values())
    assert {"audit", *mcu.seconds} == set(facts.phase_seconds)
    assert [point.epochs for point in facts.relearning] == [0.0, 0.25, 0.5, 1.0]


def test_scores_do_not_depend_on_the_precision_of_the_run(
    table: ScoreTable, hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    half = tiny_config().model_copy(update={"precision": Precision.BFLOAT16})
    other = scored(hidden, sealed, retrained, config=half)
    for role in (Role.ORIGINAL, Role.CANDIDATE):
        for field in fields(ModelScores):
            mine, others = (getattr(each.models[role], field.name) for each in (table, other))
            assert np.array_equal(mine, others)
    assert other.facts.environment.precision == "bfloat16"


def test_samples_of_one_person_share_a_number_that_is_not_theirs(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    subjects = torch.arange(len(hidden.data.labels)) // 4 + 1000
    table = scored(hidden, sealed, retrained, subjects=subjects)
    _, sizes = np.unique(table.subject[table.rows(Group.FORGET)], return_counts=True)
    assert sizes.tolist() == [4] * (FORGET // 4)
    assert table.subject.max() < len(table.subject)


def test_without_subjects_every_sample_is_its_own(table: ScoreTable) -> None:
    assert len(np.unique(table.subject)) == len(table.subject)


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """Two models, of which each row was kept from the one of its parity."""

    models: tuple[State, ...]

    def folds_of(self, rows: Tensor) -> Tensor:
        return rows % len(self.models)


def test_a_reference_score_is_that_of_the_model_that_never_saw_the_sample(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    states = (hidden.original, retrained.candidate.state)
    families: list[Family] = [TurnTaking(states), TurnTaking((states[1], states[1]))]
    plan = plan_of(primary_signal=Signal.CALIBRATED, references=ReferencesPlan(family="7" * 64, folds=2))
    table = scored(hidden, sealed, retrained, references=families, plan=plan)
    assert table.references is not None
    runtime = tiny_runtime(sealed.open())
    phis = [scores_of(runtime, [state], hidden.forget)[0].phi for state in states]
    own = np.where(hidden.forget.numpy() % 2 == 0, phis[0], phis[1])
    expected = (own + phis[1]) / 2.0
    found = table.references.phi[table.rows(Group.FORGET)]
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-4, atol=1e-4)  # float32 by batch
    assert bool(((table.references.confidence >= 0.0) & (table.references.confidence <= 1.0)).all())


@pytest.mark.parametrize("planned", [True, False])
def test_references_that_are_not_the_plans_are_refused(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome, planned: bool
) -> None:
    plan = plan_of(references=ReferencesPlan(family="7" * 64, folds=2) if planned else None)
    families: tuple[Family, ...] = () if planned else (TurnTaking((hidden.original,) * 2),)
    with pytest.raises(ConfigurationError, match="references"):
        scored(hidden, sealed, retrained, plan=plan, references=families)
    if planned:
        with pytest.raises(ConfigurationError, match="2 folds"):
            scored(hidden, sealed, retrained, plan=plan, references=(TurnTaking((hidden.original,) * 3),))


def test_canaries_are_scored_apart_from_the_tickets_samples(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    canaries = CanaryRows(included=hidden.forget[:5], excluded=hidden.validation[:3])
    without = replace(hidden, validation=hidden.validation[3:], teacher=None)
    table = scored(without, sealed, retrained, canaries=canaries)
    assert [len(table.rows(group)) for group in (Group.FORGET, Group.CANARY_INCLUDED, Group.CANARY_EXCLUDED)] == [
        FORGET - 5, 5, 3,
    ]  # fmt: skip
    assert table.facts.counts.forget == table.facts.duplicates.searched == FORGET - 5
    assert table.facts.shared_rows == 0


def test_what_was_forgotten_before_is_looked_at_again(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    without = replace(hidden, retain=hidden.retain[6:])
    table = scored(without, sealed, retrained, forgotten_before=hidden.retain[:6])
    assert len(table.rows(Group.FORGOTTEN_BEFORE)) == 6


def test_rows_in_two_parts_are_counted(hidden: Problem, sealed: SealedSamples, retrained: Outcome) -> None:
    tested = hidden.test[:2]
    other = replace(sealed, evaluation=torch.cat([sealed.evaluation, tested]))
    assert scored(hidden, other, retrained).facts.shared_rows == 2


def broken(state: State) -> State:
    params = {**state.params, "head.bias": torch.full_like(state.params["head.bias"], torch.nan)}
    return State(params=params, buffers=state.buffers)


def test_a_candidate_whose_outputs_are_nan_gives_no_table(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    with pytest.raises(DivergedError):
        scored(hidden, sealed, retrained_as(broken(retrained.candidate.state)))


def test_a_candidate_that_answers_but_does_not_stand_the_relearning_gives_no_table(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    state = retrained.candidate.state
    wrong = State(params={**state.params, "head.weight": state.params["head.weight"] * -1e6}, buffers=state.buffers)
    assert all(np.isfinite(one.phi).all() for one in scores_of(tiny_runtime(hidden.data), [wrong], hidden.retain))
    with pytest.raises(DivergedError, match="does not stand the relearning"):
        scored(hidden, sealed, retrained_as(wrong))


def test_an_original_whose_outputs_are_nan_gives_no_table(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    with pytest.raises(DivergedError, match="not finite"):
        scored(replace(hidden, original=broken(hidden.original)), sealed, retrained)


@pytest.mark.parametrize("part", ["calibration", "evaluation"])
def test_an_audit_without_sealed_samples_is_refused(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome, part: str
) -> None:
    nothing = torch.tensor([], dtype=torch.int64)
    empty = replace(sealed, calibration=nothing) if part == "calibration" else replace(sealed, evaluation=nothing)
    with pytest.raises(DataError, match=part):
        scored(hidden, empty, retrained)


def test_sealed_samples_of_other_data_are_refused(hidden: Problem, sealed: SealedSamples, retrained: Outcome) -> None:
    whole = replace(sealed.open(), labels=sealed.open().labels.flip(0))
    with pytest.raises(DataError, match="not of the data"):
        scored(hidden, replace(sealed, _whole=whole), retrained)


def test_answers_that_are_known_change_no_score_and_ask_only_what_is_new(
    table: ScoreTable, hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    known = KnownAnswers()
    first = scored(hidden, sealed, retrained, known=known)
    again = scored(hidden, sealed, retrained, known=known)
    assert to_parquet(same_but_for_times(first)) == to_parquet(same_but_for_times(table))
    assert to_parquet(same_but_for_times(again)) == to_parquet(same_but_for_times(table))
    rows, ticks = hidden.test, list[None]()
    runtime = tiny_runtime(sealed.open())
    for state in (hidden.original, hidden.original, retrained.candidate.state):
        scores_of(runtime, [state], rows, known=known, tick=lambda: ticks.append(None))
    assert len(ticks) == 2 * runtime.chunk_count(rows)


def test_known_answers_are_not_those_of_the_same_rows_under_other_labels(
    hidden: Problem, sealed: SealedSamples
) -> None:
    known, data = KnownAnswers(), sealed.open()
    moved = replace(data, labels=data.labels.roll(1))
    one, other = (
        scores_of(tiny_runtime(each), [hidden.original], hidden.test, known=known)[0] for each in (data, moved)
    )
    assert not np.array_equal(one.phi, other.phi)


def test_progress_tells_of_relearning_and_of_every_batch(
    hidden: Problem, sealed: SealedSamples, retrained: Outcome
) -> None:
    seen: list[ProgressUpdate] = []
    scored(hidden, sealed, retrained, progress=seen.append)
    assert len(seen) > 3
    assert all(update.step <= update.steps for update in seen)


def test_the_primary_signal_is_the_logit_of_the_label(
    table: ScoreTable, problem: Problem, sealed: SealedSamples
) -> None:
    runtime = tiny_runtime(sealed.open())
    batch = runtime.reader.read(problem.forget)
    with torch.inference_mode():
        outputs = runtime.forward(runtime.network(), problem.original.params, problem.original.buffers, batch)
    expected = label_logit(outputs.double(), batch.labels).numpy()
    found = table.models[Role.ORIGINAL].phi[table.rows(Group.FORGET)]
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-4, atol=1e-4)  # float32 by batch


def test_relearning_starts_at_the_candidate_and_ends_at_the_relearned_model(
    hidden: Problem, sealed: SealedSamples
) -> None:
    table = scored(hidden, sealed, retrained_as(hidden.original))
    rows, points = table.rows(Group.FORGET), table.facts.relearning
    for point, role in ((points[0], Role.ORIGINAL), (points[-1], Role.RELEARNED)):
        right = table.models[role].prediction[rows] == table.label[rows]
        assert point.forget_accuracy == pytest.approx(float(right.mean()))
    assert points[0].auc > 0.8  # it knows D_f, and nothing took it away
    evidence = evidence_of(table, plan_of())
    assert points[0].auc == evidence.positive_control[0].value == evidence.primary[0].value
    assert points[-1].auc == evidence.relearned.value


def test_the_scores_of_every_kind_of_outcome_are_evidence(
    table: ScoreTable, hidden: Problem, sealed: SealedSamples, mcu: Outcome
) -> None:
    assert [row.role for row in evidence_of(table, plan_of()).models] == [Role.ORIGINAL, Role.CANDIDATE]
    found = evidence_of(scored(hidden, sealed, mcu), plan_of())
    assert [row.role for row in found.models] == [Role.ORIGINAL, Role.PRE_UNLEARNED, Role.CANDIDATE]


def test_a_class_that_goes_entirely_is_scored(hidden: Problem, sealed: SealedSamples, retrained: Outcome) -> None:
    labels = hidden.data.labels
    train = torch.cat([hidden.forget, hidden.retain])
    gone = replace(hidden, forget=train[labels[train] == 1], retain=train[labels[train] != 1], teacher=None)
    table = scored(gone, sealed, retrained, plan=plan_of(forget_count=len(gone.forget)))
    assert set(table.label[table.rows(Group.FORGET)]) == {1}
    assert table.facts.counts.sealed_matched == int((labels[sealed.evaluation] == 1).sum())
