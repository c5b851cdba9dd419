import torch

from mcu_core.images import ImageData
from mcu_core.methods import unlearn
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem
from tests.cases import RECIPE, pixels_of, tiny_runtime


def test_retraining_reads_d_r_alone(problem: Problem, runtime: Runtime) -> None:
    images = 255 - pixels_of(problem)
    images[problem.retain] = pixels_of(problem)[problem.retain]
    other = tiny_runtime(ImageData(images=images, labels=problem.data.labels))
    first, second = (unlearn(problem, RECIPE, stream(0, "test"), runtime=where) for where in (runtime, other))
    for name, tensor in {**first.params, **first.buffers}.items():
        assert torch.equal(tensor, {**second.params, **second.buffers}[name])


def test_training_ends_at_the_accuracy_asked_for(runtime: Runtime) -> None:
    epochs: set[int] = set()
    config = RECIPE.model_copy(update={"stop_at_train_accuracy": 0.4})
    train_from_scratch(
        runtime, torch.arange(24, 120), config, stream(0, "test"), progress=lambda update: epochs.add(update.epoch)
    )
    assert len(epochs) < RECIPE.train.epochs
