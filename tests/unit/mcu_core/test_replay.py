from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from mcu_core.config import AdaptiveBetaConfig, TrainConfig
from mcu_core.connectivity.beta import Penalty
from mcu_core.connectivity.bezier import Curve, uniform_positions
from mcu_core.connectivity.fit import ascent
from mcu_core.replay import WARM_UP_STEPS, Replay
from mcu_core.report import References
from mcu_core.runtime import Runtime
from mcu_core.training import Descent
from mcu_core.types import Batch, Problem

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def batch(value: float, rows: int = 4) -> Batch:
    return Batch(images=torch.full((rows, 1, 2, 2), value), labels=torch.zeros(rows, dtype=torch.int64), forget_count=1)


def descent(problem: Problem, runtime: Runtime) -> Descent:
    params = problem.original.params
    config = TrainConfig(epochs=1, learning_rate=0.05, weight_decay=0.01)
    penalty = Penalty(AdaptiveBetaConfig(smoothing=0.5), References(train_accuracy=1.0, validation_accuracy=0.5))
    positions = uniform_positions(torch.Generator().manual_seed(0), CPU, 10)
    placement = Curve(original=params, end=params, positions=positions)
    return Descent(runtime, problem.original, ascent(penalty), config, mask=None, placement=placement, penalty=None)


def test_steps_over_held_batches_give_the_same_bits(problem: Problem, runtime: Runtime) -> None:
    plain, held = descent(problem, runtime), descent(problem, runtime)
    held._update = Replay(held._compute, CPU)
    for rows in torch.arange(80).view(4, 20):
        for each in (plain, held):
            each.step(runtime.reader.read(rows, forget_count=4), 0.05)
    first, second = plain.state(problem.original), held.state(problem.original)
    assert all(torch.equal(tensor, second.params[name]) for name, tensor in first.params.items())
    assert all(torch.equal(tensor, second.buffers[name]) for name, tensor in first.buffers.items())


def test_every_batch_is_read_from_the_same_memory() -> None:
    seen: list[tuple[int, float]] = []
    replay = Replay(lambda held: seen.append((held.images.data_ptr(), float(held.images.mean()))), CPU)
    for value in (1.0, 2.0, 3.0):
        replay(batch(value))
    assert [value for _, value in seen] == [1.0, 2.0, 3.0]
    assert len({address for address, _ in seen}) == 1


@pytest.mark.parametrize(
    "other", [batch(2.0, rows=5), replace(batch(2.0), forget_count=2), replace(batch(2.0), forget_weight=0.5)]
)
def test_a_batch_that_is_unlike_the_first_runs_as_it_is(other: Batch) -> None:
    seen: list[Batch] = []
    replay = Replay(seen.append, CPU)
    for each in (batch(1.0), other):
        replay(each)
    assert seen[1] is other


class _Recorder:
    """Stands for torch's CUDA graphs, which need a GPU: records what runs within `graph` and replays it."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.recording = False
        self.recorded: list[Batch] = []
        self.done: list[float] = []

    def step(self, held: Batch) -> None:
        if self.recording:
            self.recorded.append(held)
        else:
            self.done.append(float(held.images.mean()))

    @contextmanager
    def graph(self, _: object) -> Iterator[None]:
        self.recording = True
        try:
            yield
            if self.fails:
                raise RuntimeError("operation not permitted when stream is capturing")
        finally:
            self.recording = False

    def replay(self) -> None:
        (held,) = self.recorded
        self.step(held)


class _Stream:
    def __init__(self, *_: object) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        pass


@contextmanager
def _on_stream(_: object) -> Iterator[None]:
    yield


@pytest.mark.parametrize("fails", [False, True])
def test_with_or_without_a_recording_every_step_runs_once(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    recorder = _Recorder(fails=fails)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: recorder)
    monkeypatch.setattr(torch.cuda, "graph", recorder.graph)
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", _on_stream)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    replay = Replay(recorder.step, CUDA)
    values = [float(value) for value in range(WARM_UP_STEPS + 4)]
    for value in values:
        replay(batch(value))
    assert recorder.done == values
    assert len(recorder.recorded) == 1
