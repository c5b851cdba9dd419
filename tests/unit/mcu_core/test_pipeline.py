import hashlib
from dataclasses import replace

import pytest
import torch

from mcu_core import checkpoint, pipeline
from mcu_core.audit.batchnorm import batchnorm_rows, batchnorm_source
from mcu_core.audit.score import Origin, score
from mcu_core.config import (
    AlignConfig,
    AnotherPointRung,
    AscentConfig,
    FixedBetaConfig,
    GivenConfig,
    MaskConfig,
    McuRung,
    MethodConfig,
    MethodRung,
    NegGradPlusConfig,
    ObjectiveConfig,
    PointPolicy,
    QuantileConfig,
    ReferenceConfig,
    RetrainRung,
    Rung,
    SelectionConfig,
    TrainConfig,
)
from mcu_core.errors import ArchitectureError, CheckpointError, ConfigurationError
from mcu_core.images import ImageData
from mcu_core.inference import accuracy
from mcu_core.models import initialise, state_of
from mcu_core.report import ModelName
from mcu_core.report.evidence import BatchNormSource
from mcu_core.runtime import Runtime
from mcu_core.statistics.assemble import evidence_of
from mcu_core.types import Outcome, PreviousPathway, Problem, ProgressUpdate
from tests.audits import STARTED_AT, plan_of
from tests.cases import (
    METHODS,
    RECIPE,
    TINY,
    MethodCase,
    pixels_of,
    tiny_config,
    tiny_curve,
    tiny_runtime,
    tiny_sealed,
    tiny_selection,
)

MCU = McuRung(
    pre_unlearning=NegGradPlusConfig(beta=0.6, train=TrainConfig(epochs=8, learning_rate=0.02, batch_size=40)),
    curve=tiny_curve().model_copy(update={"mask": MaskConfig(least_tensors=1)}),
    selection=tiny_selection(),
)
SHORT = NegGradPlusConfig(train=TrainConfig(epochs=2, learning_rate=0.01, batch_size=40))
"""For a few samples, each of which is in every batch."""
ANOTHER = AnotherPointRung(selection=tiny_selection().model_copy(update={"policy": PointPolicy.PRIVACY_FIRST}))


SEED = 5


def run(problem: Problem, rung: Rung, previous: PreviousPathway | None = None) -> Outcome:
    return pipeline.run(problem, rung, tiny_config(), SEED, previous=previous)


@pytest.fixture(scope="module")
def mcu(problem: Problem) -> Outcome:
    return run(problem, MCU)


def test_references_are_the_originals_accuracies(problem: Problem, runtime: Runtime, mcu: Outcome) -> None:
    train = torch.cat([problem.forget, problem.retain])
    assert mcu.references.train_accuracy == accuracy(runtime, problem.original, train)
    assert mcu.references.validation_accuracy == accuracy(runtime, problem.original, problem.validation)


def test_the_candidate_is_the_pathway_at_the_chosen_point(mcu: Outcome) -> None:
    assert mcu.pathway is not None
    assert mcu.pathway_report is not None
    assert mcu.candidate.t == mcu.pathway_report.chosen_t == mcu.tried[-1]
    for name, tensor in mcu.pathway.at(mcu.candidate.t).items():
        assert torch.equal(mcu.candidate.state.params[name], tensor)


def test_the_report_describes_the_pathway(mcu: Outcome) -> None:
    report = mcu.pathway_report
    assert report is not None
    assert [point.t for point in report.sweep] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert len(report.evaluated) >= 4
    assert 0.0 < report.mask_share < 1.0
    assert 0 < report.mask_tensors < report.total_tensors
    assert sum(report.beta_counts.values()) == 6
    assert set(mcu.seconds) == {"pre_unlearn", "mask", "curve", "select"}


def test_the_same_seed_gives_the_same_candidate(problem: Problem, mcu: Outcome) -> None:
    again = run(problem, MCU)
    assert checkpoint.digest(again.candidate.state) == checkpoint.digest(mcu.candidate.state)
    assert again.pathway_report == mcu.pathway_report


def test_no_outcome_depends_on_test_or_sealed_samples(problem: Problem, mcu: Outcome) -> None:
    kept = torch.cat([problem.forget, problem.retain, problem.validation])
    images = 255 - pixels_of(problem)
    images[kept] = pixels_of(problem)[kept]
    other = replace(problem, data=ImageData(images=images, labels=problem.data.labels))
    assert checkpoint.digest(run(other, MCU).candidate.state) == checkpoint.digest(mcu.candidate.state)


def test_nothing_of_the_problem_is_changed(problem: Problem) -> None:
    digest, model = checkpoint.digest(problem.original), state_of(problem.model)
    random = torch.get_rng_state()
    run(problem, MCU)
    assert checkpoint.digest(problem.original) == digest
    assert checkpoint.digest(state_of(problem.model)) == checkpoint.digest(model)
    assert torch.equal(torch.get_rng_state(), random)


def test_another_point_is_another_model_of_the_same_pathway(problem: Problem, mcu: Outcome) -> None:
    other = run(problem, ANOTHER, mcu.as_previous())
    assert other.pathway is mcu.pathway
    assert other.tried == (*mcu.tried, other.candidate.t)
    assert other.candidate.t not in mcu.tried
    assert other.pathway_report is not None
    assert other.pathway_report.policy == "privacy_first"
    assert sum(other.seconds.values()) > sum(mcu.seconds.values())
    third = run(problem, ANOTHER, other.as_previous())
    assert len(set(third.tried)) == 3


def test_the_first_rung_measures_what_its_choice_needs_and_the_next_one_all_of_the_pathway(
    problem: Problem, mcu: Outcome
) -> None:
    sparing = MCU.model_copy(update={"selection": tiny_selection().model_copy(update={"sweep": False})})
    first = run(problem, sparing)
    assert first.pathway_report is not None
    assert (first.pathway_report.sweep, first.pathway_report.region) == ((), ())
    second, with_sweep = run(problem, ANOTHER, first.as_previous()), run(problem, ANOTHER, mcu.as_previous())
    assert second.pathway_report == with_sweep.pathway_report
    assert second.tried == with_sweep.tried
    kept = ANOTHER.model_copy(update={"selection": ANOTHER.selection.model_copy(update={"sweep": False})})
    third = run(problem, kept, first.as_previous())
    assert third.candidate.t in {point.t for point in first.pathway_report.evaluated}


def test_another_point_works_with_a_stored_pathway(problem: Problem, mcu: Outcome) -> None:
    assert mcu.pathway is not None
    previous = mcu.as_previous()
    assert previous is not None
    content = checkpoint.pathway_to_bytes(mcu.pathway)
    stored = checkpoint.load_pathway(
        content, problem.original.params, expected_digest=hashlib.sha256(content).hexdigest()
    )
    first = run(problem, ANOTHER, previous)
    second = run(problem, ANOTHER, replace(previous, pathway=stored))
    assert checkpoint.digest(first.candidate.state) == checkpoint.digest(second.candidate.state)


def test_another_point_needs_a_pathway(problem: Problem) -> None:
    with pytest.raises(ConfigurationError, match="needs the pathway"):
        run(problem, ANOTHER)


def test_retraining_has_no_pathway(problem: Problem) -> None:
    outcome = run(problem, RetrainRung(recipe=RECIPE))
    assert outcome.name is ModelName.RETRAINED
    assert outcome.candidate.t is None
    assert outcome.as_previous() is None


@pytest.mark.parametrize("method", [SHORT, AlignConfig(objective=ReferenceConfig(), train=SHORT.train)])
def test_a_method_alone_is_its_model_with_statistics_of_d_r(problem: Problem, method: MethodConfig) -> None:
    """It reads D_f in training, which must not stay in BatchNorm's statistics."""
    rung = MethodRung(method=method)
    outcome = run(problem, rung)
    assert (outcome.name, outcome.candidate.t, outcome.as_previous()) == (ModelName(method.kind), None, None)
    source = batchnorm_source(
        tiny_runtime(problem.data), outcome, problem.original.buffers, batchnorm_rows(problem, rung, SEED)
    )
    assert source is BatchNormSource.REPRODUCED


def test_a_taught_method_needs_a_teacher(problem: Problem) -> None:
    with pytest.raises(ConfigurationError, match="never saw D_f"):
        run(replace(problem, teacher=None), MethodRung(method=AlignConfig(objective=ReferenceConfig())))


@pytest.mark.parametrize("size", [1, 3])
def test_a_few_samples_can_be_forgotten(problem: Problem, size: int) -> None:
    retain = torch.cat([problem.forget[size:], problem.retain])
    small = replace(problem, forget=problem.forget[:size], retain=retain, teacher=None)
    outcome = run(small, MCU.model_copy(update={"pre_unlearning": SHORT}))
    plan = plan_of(forget_count=size)
    table = score(small, tiny_sealed(), outcome, plan, config=tiny_config(), origin=Origin(started_at=STARTED_AT))
    evidence = evidence_of(table, plan)
    assert evidence.facts.counts.forget == size
    assert evidence.primary[0].low is None


def test_more_can_be_forgotten_than_kept(problem: Problem) -> None:
    forget = torch.cat([problem.forget, problem.retain[10:]])
    most = replace(problem, forget=forget, retain=problem.retain[:10], teacher=None)
    assert run(most, MCU).candidate.t is not None


@pytest.mark.parametrize("policy", list(PointPolicy))
def test_every_policy_chooses_a_point(problem: Problem, policy: PointPolicy) -> None:
    selection: SelectionConfig = tiny_selection().model_copy(update={"policy": policy})
    outcome = run(problem, MCU.model_copy(update={"selection": selection}))
    assert outcome.candidate.t is not None
    assert outcome.candidate.t > 0.0


@pytest.mark.parametrize("case", METHODS, ids=[case.name for case in METHODS])
def test_any_method_can_end_a_pathway(problem: Problem, case: MethodCase) -> None:
    outcome = run(problem, MCU.model_copy(update={"pre_unlearning": case.config}))
    assert outcome.pre_unlearned is not None
    assert outcome.pre_unlearned.name.value == case.config.kind


def test_a_model_that_the_user_brings_can_end_a_pathway(problem: Problem, mcu: Outcome) -> None:
    brought = mcu.candidate.state
    rung = MCU.model_copy(update={"pre_unlearning": GivenConfig(digest=checkpoint.digest(brought))})
    outcome = pipeline.run(problem, rung, tiny_config(), 5, given=brought)
    assert outcome.pathway is not None
    assert outcome.pre_unlearned is not None
    assert outcome.pre_unlearned.name is ModelName.GIVEN
    assert all(torch.equal(tensor, brought.params[name]) for name, tensor in outcome.pathway.end.items())


def test_another_model_than_the_promised_one_is_refused(problem: Problem, mcu: Outcome) -> None:
    rung = MCU.model_copy(update={"pre_unlearning": GivenConfig(digest="0" * 64)})
    with pytest.raises(CheckpointError, match="digest"):
        pipeline.run(problem, rung, tiny_config(), 5, given=mcu.candidate.state)


def test_a_model_of_another_architecture_is_refused(problem: Problem) -> None:
    deeper = initialise(TINY.model_copy(update={"name": "preresnet14"}), 0)
    rung = MCU.model_copy(update={"pre_unlearning": GivenConfig(digest=checkpoint.digest(deeper))})
    with pytest.raises(ArchitectureError):
        pipeline.run(problem, rung, tiny_config(), 5, given=deeper)


def test_a_model_that_was_promised_and_not_brought_is_missed(problem: Problem) -> None:
    with pytest.raises(ConfigurationError, match="was not given"):
        run(problem, MCU.model_copy(update={"pre_unlearning": GivenConfig(digest="0" * 64)}))


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (AscentConfig(beta=FixedBetaConfig()), ModelName.MCU),
        (AscentConfig(), ModelName.MCU_BETA),
        (QuantileConfig(), ModelName.MCU_QUANTILE),
        (ReferenceConfig(), ModelName.MCU_REFERENCE),
    ],
)
def test_a_pathway_is_named_by_its_objective(problem: Problem, objective: ObjectiveConfig, name: ModelName) -> None:
    outcome = run(problem, MCU.model_copy(update={"curve": tiny_curve().model_copy(update={"objective": objective})}))
    assert outcome.name is name
    assert outcome.pathway_report is not None
    assert bool(outcome.pathway_report.beta_counts) == isinstance(objective, AscentConfig)


def test_a_class_that_goes_entirely_is_aligned_with_no_accuracy_at_all(problem: Problem, runtime: Runtime) -> None:
    train = torch.cat([problem.forget, problem.retain])
    is_first = problem.data.labels[train] == 0
    whole = replace(problem, forget=train[is_first], retain=train[~is_first], teacher=None)
    assert pipeline.measure_references(whole, runtime).validation_accuracy == 0.0
    half = replace(problem, forget=train[:60], retain=train[60:], teacher=None)
    assert pipeline.measure_references(half, runtime).validation_accuracy > 0.0


def test_progress_runs_through_all_phases(problem: Problem) -> None:
    seen: list[ProgressUpdate] = []
    pipeline.run(problem, MCU, tiny_config(), 5, progress=seen.append)
    phases = list(dict.fromkeys(update.phase.value for update in seen))
    assert phases == ["pre_unlearn", "mask", "curve", "select"]
    assert all(1 <= update.step <= update.steps and 0 <= update.epoch < update.epochs for update in seen)
