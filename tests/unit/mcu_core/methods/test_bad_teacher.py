from dataclasses import replace

import torch

from mcu_core.config import BadTeacherConfig, TrainConfig
from mcu_core.data import MixedBatches
from mcu_core.images import ImageData
from mcu_core.inference import logits
from mcu_core.methods import unlearn
from mcu_core.methods.bad_teacher import two_teachers
from mcu_core.models import initialise
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Batch, Problem, State
from tests.cases import TINY, pixels_of, tiny_runtime

RANDOM = initialise(TINY, 1)


def batches_of(problem: Problem, runtime: Runtime, count: int = 24) -> MixedBatches:
    return MixedBatches(reader=runtime.reader, forget=problem.forget[:count], retain=problem.retain, size=40)


def mixed(batches: MixedBatches) -> Batch:
    return next(iter(batches.draw(stream(0, "test"))))


def answers(runtime: Runtime, state: State, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return runtime.forward(runtime.network(), state.params, state.buffers, batch)


def test_a_student_that_follows_both_teachers_costs_nothing(problem: Problem, runtime: Runtime) -> None:
    batches = batches_of(problem, runtime)
    batch = mixed(batches)
    good, bad = (answers(runtime, state, batch) for state in (problem.original, RANDOM))
    outputs = torch.cat([bad[: batch.forget_count], good[batch.forget_count :]])
    loss = two_teachers(problem.original, RANDOM, 2.0, batches, runtime=runtime)
    assert float(loss(outputs, batch)) < 1e-5  # rounding of float32
    assert float(loss(good, batch)) > 0.1, "the original is no student of the second teacher"


def test_every_row_weighs_the_same_in_the_divergence_from_its_teacher(problem: Problem, runtime: Runtime) -> None:
    batches = batches_of(problem, runtime)
    batch = mixed(batches)
    outputs = torch.randn(len(batch.labels), 3, generator=stream(1, "test"))
    is_forget = torch.arange(len(batch.labels)) < batch.forget_count
    good, bad = (answers(runtime, state, batch) for state in (problem.original, RANDOM))
    teacher = torch.where(is_forget.unsqueeze(1), bad, good).log_softmax(1)
    expected = (teacher.exp() * (teacher - outputs.log_softmax(1))).sum(1).mean()
    loss = two_teachers(problem.original, RANDOM, 1.0, batches, runtime=runtime)(outputs, batch)
    torch.testing.assert_close(loss, expected)


def test_a_single_sample_weighs_no_more_than_its_share(problem: Problem, runtime: Runtime) -> None:
    batches = batches_of(problem, runtime, count=1)
    batch = mixed(batches)
    assert batch.forget_weight < 1.0
    outputs = torch.randn(len(batch.labels), 3, generator=stream(1, "test"))
    loss = two_teachers(problem.original, RANDOM, 1.0, batches, runtime=runtime)
    whole, none = (float(loss(outputs, replace(batch, forget_weight=weight))) for weight in (1.0, 0.0))
    torch.testing.assert_close(
        loss(outputs, batch), torch.tensor(none + batch.forget_weight * (whole - none)), atol=1e-6, rtol=1e-5
    )


def test_labels_play_no_part(problem: Problem, runtime: Runtime) -> None:
    labels = (problem.data.labels + 1) % 3
    other = tiny_runtime(ImageData(images=pixels_of(problem), labels=labels))
    config = BadTeacherConfig(train=TrainConfig(epochs=2, learning_rate=0.02, batch_size=40))
    first, second = (unlearn(problem, config, stream(0, "test"), runtime=where) for where in (runtime, other))
    for name, tensor in first.params.items():
        assert torch.equal(tensor, second.params[name])


def test_the_student_ends_as_unsure_on_d_f_as_the_second_teacher(problem: Problem, runtime: Runtime) -> None:
    config = BadTeacherConfig(
        retain_share=1.0, train=TrainConfig(epochs=12, learning_rate=0.05, batch_size=40, weight_decay=0.0)
    )
    state = unlearn(problem, config, stream(0, "test"), runtime=runtime)
    before, after = (
        float(logits(runtime, one, problem.forget).softmax(1).max(1).values.mean()) for one in (problem.original, state)
    )
    assert before > 0.9
    assert after < 0.75
