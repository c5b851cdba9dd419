"""Bounded objectives: what they compare with, and that they pull from both sides."""

from dataclasses import replace

import pytest
import torch

from mcu_core.config import AlignConfig, QuantileConfig, ReferenceConfig, TrainConfig
from mcu_core.data import MixedBatches
from mcu_core.errors import ConfigurationError
from mcu_core.inference import accuracy, logits, reestimate_batchnorm
from mcu_core.losses import distillation, label_logit
from mcu_core.methods import unlearn
from mcu_core.objectives import (
    GRID,
    bounded_loss,
    quantile_distance,
    reference_distance,
    validation_quantiles,
    without_classes,
)
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem, Teacher

CLASSES = 3


def outputs_with(score: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return logits whose φ are the given ones."""
    others = torch.full((len(score), CLASSES), -torch.log(torch.tensor(CLASSES - 1.0)).item())
    return others.scatter(1, labels.unsqueeze(1), score.unsqueeze(1))


def uniform_table(low: float, high: float) -> torch.Tensor:
    return torch.linspace(low, high, GRID).repeat(CLASSES, 1)


def test_samples_that_already_lie_on_the_quantiles_cost_nothing() -> None:
    labels = torch.tensor([0, 1, 2, 0])
    score = torch.tensor([-0.75, 0.75, 0.25, -0.25])  # the quantiles 1/8, 7/8, 5/8, 3/8 of U(-1, 1)
    assert quantile_distance(outputs_with(score, labels), labels, uniform_table(-1.0, 1.0)) < 1e-10


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_pull_is_towards_the_quantiles_from_either_side(side: float) -> None:
    labels = torch.zeros(4, dtype=torch.long)
    score = (side * torch.tensor([5.0, 6.0, 7.0, 8.0])).requires_grad_()
    distance = quantile_distance(outputs_with(score, labels), labels, uniform_table(-1.0, 1.0))
    distance.backward()  # type: ignore[no-untyped-call]
    assert score.grad is not None
    assert bool((score.grad * side > 0).all()), "descending brings every φ back"
    assert float(score.grad.abs().max()) <= 0.25 + 1e-6, "bounded: smooth-L1's slope is 1, a mean over 4"


def test_the_order_within_a_batch_is_kept() -> None:
    labels = torch.zeros(3, dtype=torch.long)
    score = torch.tensor([9.0, 1.0, 5.0])
    table = uniform_table(0.0, 6.0)
    expected = torch.nn.functional.smooth_l1_loss(score, torch.tensor([5.0, 1.0, 3.0]))
    assert torch.isclose(quantile_distance(outputs_with(score, labels), labels, table), expected)


def test_each_class_is_compared_with_its_own_quantiles() -> None:
    labels = torch.tensor([0, 1])
    table = torch.stack([torch.linspace(0, 1, GRID), torch.linspace(10, 11, GRID), torch.zeros(GRID)])
    score = torch.tensor([0.75, 10.25])  # stands higher in its class than the other one, though far below it
    assert quantile_distance(outputs_with(score, labels), labels, table) < 1e-9


def test_tables_come_from_validation_samples_and_fall_back_to_all_classes(problem: Problem, runtime: Runtime) -> None:
    table = validation_quantiles(problem, runtime, by_class=True)
    labels = problem.data.labels[problem.validation]
    score = label_logit(logits(runtime, problem.original, problem.validation).double(), labels)
    assert table.shape == (problem.architecture.classes, GRID)
    assert torch.allclose(table[0, [0, -1]], torch.stack([score.min(), score.max()]).float())
    assert torch.equal(table[0], table[1]), "7 samples of a class are too few for quantiles of its own"


def test_classes_with_enough_samples_have_quantiles_of_their_own(problem: Problem, runtime: Runtime) -> None:
    wide = replace(problem, validation=torch.arange(120, 200), test=torch.arange(200, 210), teacher=None)
    table = validation_quantiles(wide, runtime, by_class=True)
    assert not torch.equal(table[0], table[1])
    pooled = validation_quantiles(wide, runtime, by_class=False)
    assert torch.equal(pooled[0], pooled[1])


def whole_class(problem: Problem) -> Problem:
    """Forget all of class 0, of which D_v still holds samples."""
    train = torch.cat([problem.forget, problem.retain])
    is_first = problem.data.labels[train] == 0
    return replace(
        problem,
        forget=train[is_first],
        retain=train[~is_first],
        validation=torch.arange(140, 190),
        test=torch.arange(190, 200),
        teacher=None,
    )


def test_a_class_that_goes_entirely_is_compared_with_samples_of_other_classes(
    problem: Problem, runtime: Runtime
) -> None:
    whole = whole_class(problem)
    table, before = (
        validation_quantiles(one, runtime, by_class=False)
        for one in (whole, replace(problem, validation=whole.validation, test=whole.test, teacher=None))
    )
    labels = problem.data.labels[whole.validation]
    others = logits(runtime, problem.original, whole.validation)[labels != 0].double()
    score = label_logit(others, torch.zeros(len(others), dtype=torch.long))
    assert torch.equal(table[0, [0, -1]], torch.stack([score.min(), score.max()]).float())
    assert table[0, GRID // 2] < before[0, GRID // 2]
    assert torch.equal(table[1:], before[1:]), "the other classes remain"


def test_by_quantiles_a_class_that_goes_entirely_is_forgotten(problem: Problem, runtime: Runtime) -> None:
    whole = whole_class(problem)
    config = AlignConfig(objective=QuantileConfig(), train=TrainConfig(epochs=12, learning_rate=0.05, batch_size=40))
    state = reestimate_batchnorm(runtime, unlearn(whole, config, stream(0, "test"), runtime=runtime), whole.retain)
    assert accuracy(runtime, problem.original, whole.forget) == 1.0
    assert accuracy(runtime, state, whole.forget) < 0.5
    assert accuracy(runtime, state, whole.retain) > 0.8


def test_a_reference_objective_without_a_teacher_is_refused(problem: Problem, runtime: Runtime) -> None:
    with pytest.raises(ConfigurationError, match="train references first"):
        bounded_loss(replace(problem, teacher=None), ReferenceConfig(), runtime=runtime)


@pytest.mark.parametrize("config", [QuantileConfig(weight=0.7), ReferenceConfig(weight=0.7)])
def test_the_weight_counts_for_the_forget_rows_alone(
    problem: Problem, runtime: Runtime, config: QuantileConfig | ReferenceConfig
) -> None:
    batches = MixedBatches(reader=runtime.reader, forget=problem.forget, retain=problem.retain, size=40)
    batch = next(iter(batches.draw(stream(0, "test"))))
    outputs = torch.randn(len(batch.labels), CLASSES, generator=stream(1, "test"))
    loss = bounded_loss(problem, config, runtime=runtime)
    none = loss(outputs, replace(batch, forget_weight=0.0))
    half, whole = loss(outputs, replace(batch, forget_weight=0.5)), loss(outputs, batch)
    retain = torch.nn.functional.cross_entropy(outputs[batch.forget_count :], batch.labels[batch.forget_count :])
    assert torch.isclose(none, retain)
    assert torch.isclose(whole - none, 2.0 * (half - none))
    assert whole > none


def test_the_teacher_is_asked_about_the_samples_of_the_batch(problem: Problem, runtime: Runtime) -> None:
    """A model that answers as the teacher does has no distance to it, whatever the order of the batch."""
    assert problem.teacher is not None
    batches = MixedBatches(reader=runtime.reader, forget=problem.forget, retain=problem.retain, size=40)
    batch = next(iter(batches.draw(stream(0, "test"))))
    assert batch.forget_indices is not None
    outputs = torch.zeros(len(batch.labels), CLASSES)
    outputs[: batch.forget_count] = problem.teacher.forget[batch.forget_indices].log()
    loss = bounded_loss(problem, ReferenceConfig(temperature=2.0), runtime=runtime)
    assert torch.isclose(loss(outputs, batch), loss(outputs, replace(batch, forget_weight=0.0)), atol=1e-6)


def test_what_looks_more_unseen_than_the_reference_says_is_pulled_up_by_its_own_weight() -> None:
    rng = torch.Generator().manual_seed(0)
    outputs, wanted = torch.randn(40, CLASSES, generator=rng), torch.randn(40, CLASSES, generator=rng)
    labels = torch.randint(0, CLASSES, (40,), generator=rng)
    answers, score = wanted.softmax(dim=1), label_logit(wanted, labels)
    is_above = label_logit(outputs, labels) > score
    assert 0 < int(is_above.sum()) < 40
    each = distillation(outputs, answers, 2.0)
    for pull_up in (0.0, 0.3, 1.0):
        config = ReferenceConfig(temperature=2.0, pull_up=pull_up)
        expected = (each[is_above].sum() + pull_up * each[~is_above].sum()) / 40
        torch.testing.assert_close(reference_distance(outputs, labels, answers, score, config), expected)


def test_a_teacher_says_nothing_of_a_class_that_goes_entirely() -> None:
    answers = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    left = without_classes(answers, {0})
    torch.testing.assert_close(left, torch.tensor([[0.0, 0.6, 0.4], [0.0, 0.5, 0.5]]))
    assert without_classes(answers, set()) is answers


def test_the_reference_objective_forgets_a_class_that_its_teachers_know(problem: Problem, runtime: Runtime) -> None:
    train = torch.cat([problem.forget, problem.retain])
    is_first = problem.data.labels[train] == 0
    forget = train[is_first]
    knowing = torch.full((len(forget), CLASSES), 0.01)
    knowing[:, 0] = 0.98
    teacher = Teacher(forget=knowing, validation=torch.full((len(problem.validation), CLASSES), 1.0 / CLASSES))
    whole = replace(problem, forget=forget, retain=train[~is_first], teacher=teacher)
    config = AlignConfig(objective=ReferenceConfig(), train=TrainConfig(epochs=8, learning_rate=0.05, batch_size=40))
    state = unlearn(whole, config, stream(0, "test"), runtime=runtime)
    assert accuracy(runtime, reestimate_batchnorm(runtime, state, whole.retain), forget) < 0.2
