import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mcu_core.config import RetrainConfig, TrainConfig
from mcu_core.curriculum import CurriculumBatches, easy_to_hard
from mcu_core.data import BatchReader, MixedBatches, PlainBatches
from mcu_core.errors import ConfigurationError
from mcu_core.inference import sample_losses
from mcu_core.methods import unlearn
from mcu_core.methods.easy_first import paced
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem
from tests.unit.mcu_core.test_data import numbered, seeded

counts = st.integers(1, 60)
shares = st.floats(0.05, 1.0)


def plain(reader: BatchReader, count: int, start: float, epochs: int, size: int = 7) -> CurriculumBatches:
    difficulty = torch.arange(count).flip(0).float()  # the last row is the easiest
    return easy_to_hard(
        [torch.arange(count)],
        [difficulty],
        lambda rows: PlainBatches(reader=reader, rows=rows[0], size=size),
        start=start,
        epochs=epochs,
    )


def epochs_of(batches: CurriculumBatches, epochs: int) -> list[list[int]]:
    rng = seeded()
    return [torch.cat([batch.labels for batch in batches.draw(rng)]).tolist() for _ in range(epochs)]


@settings(max_examples=40, deadline=None)
@given(counts, shares, st.integers(1, 6))
def test_the_last_epoch_reads_every_row(count: int, start: float, epochs: int) -> None:
    assert set(epochs_of(plain(numbered(count), count, start, epochs), epochs)[-1]) == set(range(count))


@settings(max_examples=40, deadline=None)
@given(counts, shares, st.integers(2, 6))
def test_an_epoch_reads_the_easiest_rows_and_never_a_harder_one(count: int, start: float, epochs: int) -> None:
    read = [set(epoch) for epoch in epochs_of(plain(numbered(count), count, start, epochs), epochs)]
    for index, rows in enumerate(read):
        assert rows == set(range(count - len(rows), count))
        share = start + (1 - start) * index / (epochs - 1)
        assert share * count - 1e-6 <= len(rows) < share * count + 1
    assert all(len(earlier) <= len(later) for earlier, later in itertools.pairwise(read))


@settings(max_examples=40, deadline=None)
@given(counts, shares, st.integers(1, 6))
def test_every_epoch_has_as_many_rows_as_one_without_a_curriculum(count: int, start: float, epochs: int) -> None:
    reader = numbered(count)
    ordinary = PlainBatches(reader=reader, rows=torch.arange(count), size=7)
    paced = plain(reader, count, start, epochs)
    rows = sum(len(batch.labels) for batch in ordinary.draw(seeded()))
    assert paced.steps == ordinary.steps
    assert {len(epoch) for epoch in epochs_of(paced, epochs)} == {rows}


def test_mixed_batches_know_which_samples_of_d_f_their_rows_are() -> None:
    forget, retain = torch.arange(10, 20), torch.arange(20, 60)
    paced = easy_to_hard(
        [forget, retain],
        [torch.rand(10, generator=seeded(1)), torch.rand(40, generator=seeded(2))],
        lambda rows: MixedBatches(reader=numbered(60), forget=rows[0], retain=rows[1], size=12),
        start=0.3,
        epochs=3,
    )
    for _ in range(3):
        for batch in paced.draw(seeded()):
            assert batch.forget_indices is not None
            assert torch.equal(forget[batch.forget_indices], batch.labels[: batch.forget_count])


def test_epochs_beyond_the_last_stage_read_every_row() -> None:
    assert [len(set(epoch)) for epoch in epochs_of(plain(numbered(12), 12, 0.5, 2), 4)] == [6, 12, 12, 12]


def test_a_method_is_paced_by_the_losses_of_the_original(problem: Problem, runtime: Runtime) -> None:
    config = TrainConfig(epochs=2, learning_rate=0.01, batch_size=40, curriculum_start=0.5)
    stages: list[Tensor] = []

    def make(rows: Sequence[Tensor]) -> PlainBatches:
        stages.append(rows[0])
        return PlainBatches(reader=runtime.reader, rows=rows[0], size=40)

    paced(problem, [problem.retain], make, config, runtime=runtime)
    losses = sample_losses(runtime, problem.original, problem.retain)
    easiest = problem.retain[losses.argsort(stable=True)[: len(problem.retain) // 2]]
    assert [set(rows.tolist()) for rows in stages] == [set(easiest.tolist()), set(problem.retain.tolist())]


def test_without_a_curriculum_a_method_gets_its_plain_batches(problem: Problem, runtime: Runtime) -> None:
    config = TrainConfig(epochs=2, learning_rate=0.01)
    expected = PlainBatches(reader=runtime.reader, rows=problem.retain, size=40)
    assert paced(problem, [problem.retain], lambda _: expected, config, runtime=runtime) is expected


def test_a_training_without_a_curriculum_refuses_one(problem: Problem, runtime: Runtime) -> None:
    config = RetrainConfig(train=TrainConfig(epochs=1, learning_rate=0.1, curriculum_start=0.5))
    with pytest.raises(ConfigurationError, match="curriculum_start"):
        unlearn(problem, config, stream(0, "t"), runtime=runtime)
