import hashlib
from dataclasses import replace

import pytest
import torch

from mcu_core import checkpoint, pipeline
from mcu_core.audit.assemble import measure
from mcu_core.config import (
    AnotherPointRung,
    McuRung,
    NegGradPlusConfig,
    PointPolicy,
    RetrainRung,
    Rung,
    SelectionConfig,
    TrainConfig,
)
from mcu_core.errors import ConfigurationError
from mcu_core.inference import accuracy
from mcu_core.models import state_of
from mcu_core.report import ModelName
from mcu_core.runtime import Runtime
from mcu_core.types import ImageData, Outcome, PreviousPathway, Problem, ProgressUpdate
from tests.cases import METHODS, RECIPE, MethodCase, tiny_config, tiny_curve, tiny_sealed, tiny_selection

MCU = McuRung(
    pre_unlearning=NegGradPlusConfig(beta=0.6, train=TrainConfig(epochs=8, learning_rate=0.02, batch_size=40)),
    curve=tiny_curve(),
    selection=tiny_selection(),
)
SHORT = NegGradPlusConfig(train=TrainConfig(epochs=2, learning_rate=0.01, batch_size=40))
"""For a few samples, each of which is in every batch."""
ANOTHER = AnotherPointRung(selection=tiny_selection().model_copy(update={"policy": PointPolicy.PRIVACY_FIRST}))


def run(problem: Problem, rung: Rung, previous: PreviousPathway | None = None) -> Outcome:
    return pipeline.run(problem, rung, tiny_config(), 5, previous=previous)


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
    images = 255 - problem.data.images
    images[kept] = problem.data.images[kept]
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


@pytest.mark.parametrize("size", [1, 3])
def test_a_few_samples_can_be_forgotten(problem: Problem, size: int) -> None:
    small = replace(problem, forget=problem.forget[:size], retain=torch.cat([problem.forget[size:], problem.retain]))
    outcome = run(small, MCU.model_copy(update={"pre_unlearning": SHORT}))
    measurements = measure(small, tiny_sealed(), outcome, tiny_config(), 0, tail_level=0.01)
    assert measurements.counts.forget == size
    assert measurements.candidate.auc.low is None


def test_more_can_be_forgotten_than_kept(problem: Problem) -> None:
    most = replace(problem, forget=torch.cat([problem.forget, problem.retain[10:]]), retain=problem.retain[:10])
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
    assert outcome.pre_unlearned.name.value in {"neggrad_plus", "retrained"}


def test_progress_runs_through_all_phases(problem: Problem) -> None:
    seen: list[ProgressUpdate] = []
    pipeline.run(problem, MCU, tiny_config(), 5, progress=seen.append)
    phases = list(dict.fromkeys(update.phase.value for update in seen))
    assert phases == ["pre_unlearn", "mask", "curve", "select"]
    assert all(1 <= update.step <= update.steps and 0 <= update.epoch < update.epochs for update in seen)
