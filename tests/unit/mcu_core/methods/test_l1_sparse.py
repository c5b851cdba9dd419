import pytest
import torch

from mcu_core.config import FinetuneConfig, L1SparseConfig, TrainConfig
from mcu_core.images import ImageData
from mcu_core.methods import unlearn
from mcu_core.methods.l1_sparse import Shrinkage
from mcu_core.runtime import Runtime, stream
from mcu_core.training import Epoch
from mcu_core.types import Params, Problem
from tests.cases import pixels_of, tiny_runtime

TRAIN = TrainConfig(epochs=3, learning_rate=0.02, batch_size=40)


def size(params: Params) -> float:
    return sum(float(tensor.abs().sum()) for tensor in params.values())


def test_the_pull_is_the_gradient_of_the_penalty() -> None:
    trained = {"a": torch.tensor([[1.0, -2.0], [0.0, 5.0]]), "b": torch.tensor([-0.1])}
    leaves = [tensor.clone().requires_grad_() for tensor in trained.values()]
    penalty = torch.stack([leaf.abs().sum() for leaf in leaves]).sum()
    expected = torch.autograd.grad(0.2 * penalty, leaves)
    pull = Shrinkage(0.1, 10, torch.device("cpu"))(trained)
    for tensor, gradient in zip(expected, pull, strict=True):
        torch.testing.assert_close(gradient, tensor)


def test_the_pull_falls_linearly_around_its_mean() -> None:
    shrinkage = Shrinkage(0.5, 4, torch.device("cpu"))
    weights = []
    for index in range(4):
        weights.append(float(shrinkage({"w": torch.ones(())})[0]))
        assert not shrinkage.end_epoch(Epoch(index=index, loss=0.0, accuracy=0.0))
    assert weights == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_more_pull_leaves_smaller_weights(problem: Problem, runtime: Runtime) -> None:
    sizes = [
        size(unlearn(problem, L1SparseConfig(gamma=gamma, train=TRAIN), stream(0, "test"), runtime=runtime).params)
        for gamma in (1e-6, 1e-3, 1e-2)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.9 * sizes[0]


def test_it_is_finetuning_where_the_pull_vanishes(problem: Problem, runtime: Runtime) -> None:
    tuned = unlearn(problem, FinetuneConfig(train=TRAIN), stream(0, "test"), runtime=runtime)
    sparse = unlearn(problem, L1SparseConfig(gamma=1e-30, train=TRAIN), stream(0, "test"), runtime=runtime)
    for name, tensor in tuned.params.items():
        assert torch.equal(tensor, sparse.params[name])


def test_d_f_is_not_read(problem: Problem, runtime: Runtime) -> None:
    images = pixels_of(problem)
    images[problem.forget] = 255 - images[problem.forget]
    other = tiny_runtime(ImageData(images=images, labels=problem.data.labels))
    first, second = (
        unlearn(problem, L1SparseConfig(train=TRAIN), stream(0, "test"), runtime=where) for where in (runtime, other)
    )
    for name, tensor in {**first.params, **first.buffers}.items():
        assert torch.equal(tensor, {**second.params, **second.buffers}[name])
