from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from mcu_core.config import ScrubConfig, TrainConfig
from mcu_core.data import PlainBatches
from mcu_core.errors import DivergedError
from mcu_core.images import ImageData
from mcu_core.inference import logits
from mcu_core.methods import unlearn
from mcu_core.methods.scrub import AscentsFirst, disobedience
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Batch, Problem, ProgressUpdate
from tests.cases import pixels_of, tiny_runtime


def batch_of(problem: Problem, runtime: Runtime, *, forget: bool) -> Batch:
    rows = problem.forget if forget else problem.retain
    return runtime.reader.read(rows, forget_count=len(rows) if forget else 0)


@pytest.mark.parametrize("forget", [True, False])
def test_a_student_that_answers_as_its_teacher_does_is_at_no_distance(
    problem: Problem, runtime: Runtime, forget: bool
) -> None:
    batch = batch_of(problem, runtime, forget=forget)
    outputs = logits(runtime, problem.original, problem.forget if forget else problem.retain)
    loss = disobedience(problem, ScrubConfig(gamma=0.0), runtime)
    assert abs(float(loss(outputs, batch))) < 1e-6  # rounding of float32


def test_the_student_is_driven_away_on_d_f_and_back_on_d_r(problem: Problem, runtime: Runtime) -> None:
    loss = disobedience(problem, ScrubConfig(alpha=0.3, gamma=0.7, temperature=2.0), runtime)
    rng = stream(0, "test")
    for forget, rows in ((True, problem.forget), (False, problem.retain)):
        batch = batch_of(problem, runtime, forget=forget)
        outputs = torch.randn(len(rows), 3, generator=rng)
        teacher, student = logits(runtime, problem.original, rows) / 2.0, outputs / 2.0
        divergence = 4.0 * (teacher.softmax(1) * (teacher.log_softmax(1) - student.log_softmax(1))).sum(1).mean()
        entropy = torch.nn.functional.cross_entropy(outputs, batch.labels)
        expected = -divergence if forget else 0.3 * divergence + 0.7 * entropy
        torch.testing.assert_close(loss(outputs, batch), expected)


def test_an_epoch_reads_d_f_first_and_each_part_entirely(problem: Problem, runtime: Runtime) -> None:
    forget = PlainBatches(reader=runtime.reader, rows=problem.forget, size=10)
    retain = PlainBatches(reader=runtime.reader, rows=problem.retain, size=40)
    both = AscentsFirst(forget=forget, retain=retain)
    drawn = list(both.draw(stream(0, "test")))
    counts = [batch.forget_count for batch in drawn]
    assert len(drawn) == both.steps
    assert counts == [8, 8, 8, 0, 0, 0]
    assert all(len(batch.labels) == batch.forget_count for batch in drawn[:3])


def test_epochs_without_an_ascent_do_not_read_d_f(problem: Problem, runtime: Runtime) -> None:
    """The steps say how many batches an epoch has: those of D_f are missing at the end."""
    seen: list[ProgressUpdate] = []
    config = ScrubConfig(ascent_epochs=1, forget_batch_size=12, train=TrainConfig(epochs=3, learning_rate=0.01))
    unlearn(problem, config, stream(0, "test"), runtime=runtime, progress=seen.append)
    assert [(update.epoch, update.steps) for update in seen] == [(0, 3), (0, 3), (0, 3), (1, 1), (2, 1)]
    assert {update.epochs for update in seen} == {3}


def test_only_the_ascents_depend_on_d_f(problem: Problem, runtime: Runtime) -> None:
    images = pixels_of(problem)
    images[problem.forget] = 255 - images[problem.forget]
    other = tiny_runtime(ImageData(images=images, labels=problem.data.labels))
    loss = disobedience(problem, ScrubConfig(), runtime)
    batch = batch_of(problem, runtime, forget=False)
    outputs = torch.zeros(len(batch.labels), 3)
    assert torch.equal(loss(outputs, batch), loss(outputs, batch_of(problem, other, forget=False)))
    assert not torch.equal(loss(outputs, batch), loss(outputs, replace(batch, images=-batch.images)))


def test_more_ascents_than_epochs_are_refused() -> None:
    with pytest.raises(ValidationError, match="ascent_epochs 6 exceed the 5 epochs"):
        ScrubConfig(ascent_epochs=6)


def test_an_absurd_ascent_ends_with_a_clear_error(problem: Problem, runtime: Runtime, rng: torch.Generator) -> None:
    config = ScrubConfig(ascent_epochs=5, forget_batch_size=4, train=TrainConfig(epochs=5, learning_rate=50.0))
    with pytest.raises(DivergedError, match=r"lower pre_unlearning\.train\.learning_rate or pre_unlearning\.ascent"):
        unlearn(problem, config, rng, runtime=runtime)
