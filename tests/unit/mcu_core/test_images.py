from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcu_core import pipeline
from mcu_core.config import McuRung, NegGradPlusConfig, TrainConfig
from mcu_core.connectivity.sweep import selection_rows
from mcu_core.data import PlainBatches
from mcu_core.errors import DataError, SealedReadError
from mcu_core.images import GuardedImages, ImageData, seal
from mcu_core.inference import accuracy, reestimate_batchnorm
from mcu_core.methods import unlearn
from mcu_core.runtime import stream
from mcu_core.types import Problem
from tests.cases import METHODS, seal_tiny, tiny_config, tiny_curve, tiny_data, tiny_runtime, tiny_selection

COUNT = 12


def numbered() -> ImageData:
    """Return samples whose pixels are their own position."""
    images = torch.arange(COUNT, dtype=torch.uint8).view(COUNT, 1, 1, 1).expand(COUNT, 1, 2, 3)
    return ImageData(images=images, labels=torch.arange(COUNT))


def guarded(*sealed: int) -> GuardedImages:
    return seal(numbered(), calibration=torch.tensor(sealed[:1]), evaluation=torch.tensor(sealed[1:]).long())[0]


@given(st.lists(st.integers(0, COUNT - 1), max_size=20), st.sets(st.integers(0, COUNT - 1), min_size=1))
def test_samples_can_be_read_exactly_when_none_of_them_is_sealed(rows: list[int], sealed: set[int]) -> None:
    data, wanted = guarded(*sealed), torch.tensor(rows, dtype=torch.int64)
    if sealed & set(rows):
        with pytest.raises(SealedReadError, match="belong to the audit alone"):
            data.pixels(wanted)
    else:
        assert torch.equal(data.pixels(wanted), numbered().pixels(wanted))


def test_guarded_samples_share_the_array_and_have_no_other_way_to_it() -> None:
    whole = numbered()
    data, key = seal(whole, calibration=torch.tensor([1]), evaluation=torch.tensor([2]))
    assert key.open() is whole
    assert not hasattr(data, "images")
    assert data.labels is whole.labels
    assert data.shape == whole.shape == (1, 2, 3)


def test_what_the_audit_reads_besides_is_sealed_too() -> None:
    data, _ = seal(numbered(), calibration=torch.tensor([1]), evaluation=torch.tensor([2]), others=torch.tensor([5, 7]))
    with pytest.raises(SealedReadError, match="1 of 2"):
        data.pixels(torch.tensor([4, 5]))


@pytest.mark.parametrize("rows", [torch.tensor([COUNT]), torch.tensor([-1]), torch.tensor([1.0]), torch.tensor([[1]])])
def test_impossible_positions_are_refused(rows: Tensor) -> None:
    with pytest.raises(DataError):
        seal(numbered(), calibration=torch.tensor([0]), evaluation=rows)


@pytest.fixture(scope="module")
def sealed_problem(problem: Problem) -> Problem:
    return replace(problem, data=seal_tiny(tiny_data())[0])


@pytest.mark.parametrize("part", ["calibration", "evaluation"])
def test_no_forward_pass_of_a_run_reaches_the_sealed_samples(sealed_problem: Problem, part: str) -> None:
    runtime = tiny_runtime(sealed_problem.data)
    rows = getattr(seal_tiny(tiny_data())[1], part)
    with pytest.raises(SealedReadError):
        accuracy(runtime, sealed_problem.original, rows[:1])
    with pytest.raises(SealedReadError):
        reestimate_batchnorm(runtime, sealed_problem.original, rows)
    with pytest.raises(SealedReadError):
        next(PlainBatches(reader=runtime.reader, rows=rows, size=8).draw(stream(0, "test")))


def test_a_method_that_reads_sealed_samples_fails(sealed_problem: Problem) -> None:
    cheat = replace(sealed_problem, retain=seal_tiny(tiny_data())[1].evaluation, teacher=None)
    method = NegGradPlusConfig(train=TrainConfig(epochs=1, learning_rate=0.02, batch_size=40))
    with pytest.raises(SealedReadError):
        unlearn(cheat, method, stream(0, "test"), runtime=tiny_runtime(cheat.data))


def test_a_choice_of_the_point_that_reads_sealed_samples_fails(sealed_problem: Problem) -> None:
    cheat = replace(sealed_problem, validation=seal_tiny(tiny_data())[1].evaluation, teacher=None)
    rows = selection_rows(cheat, tiny_selection(), stream(0, "selection"))
    with pytest.raises(SealedReadError):
        accuracy(tiny_runtime(cheat.data), cheat.original, rows.validation)
    rung = McuRung(pre_unlearning=METHODS[0].config, curve=tiny_curve(), selection=tiny_selection())
    with pytest.raises(SealedReadError):
        pipeline.run(cheat, rung, tiny_config(), 0)


def test_an_honest_run_does_not_notice_the_seal(problem: Problem, sealed_problem: Problem) -> None:
    rung = McuRung(pre_unlearning=METHODS[0].config, curve=tiny_curve(), selection=tiny_selection())
    open_run, sealed_run = (pipeline.run(each, rung, tiny_config(), 0) for each in (problem, sealed_problem))
    for name, tensor in open_run.candidate.state.params.items():
        assert torch.equal(sealed_run.candidate.state.params[name], tensor)
