"""Networks that nobody built for this project: a training step on the curve, and a model of its middle."""

import pytest
import torch
from torch import nn

from mcu_core import models
from mcu_core.config import ArchitectureConfig, CurveConfig, TrainConfig
from mcu_core.connectivity.fit import Fit, fit_curve
from mcu_core.data import BatchReader
from mcu_core.images import ImageData
from mcu_core.inference import logits
from mcu_core.report import References
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem, State

CLASSES = 3
NETWORKS = {"torchvision:vgg16_bn": 32, "torchvision:vit_b_16": 16, "torchvision:resnet18": 32}
"""Image size of each; a vision transformer's smallest is one patch."""
REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.5)


def posed(name: str) -> Problem:
    size = NETWORKS[name]
    architecture = ArchitectureConfig(
        name=name, classes=CLASSES, image_size=size, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, size, size), generator=rng, dtype=torch.uint8)
    model = models.build(architecture)
    with torch.no_grad():  # a vision transformer's begins as zeros, which let no gradient through
        list(model.parameters())[-2].normal_(std=0.02, generator=rng)
    return Problem(
        model=model,
        architecture=architecture,
        original=models.state_of(model),
        data=ImageData(images=images, labels=torch.arange(8) % CLASSES),
        forget=torch.tensor([0]),
        retain=torch.tensor([1, 2, 3]),
        validation=torch.tensor([4, 5]),
        test=torch.tensor([6, 7]),
    )


def runtime_of(problem: Problem) -> Runtime:
    reader = BatchReader(data=problem.data, architecture=problem.architecture, device=torch.device("cpu"))
    return Runtime(model=problem.model, reader=reader, dtype=torch.float32, evaluation_batch=4)


def first_and_last(problem: Problem) -> frozenset[str]:
    """Return two tensors between which the whole network lies: a gradient of the first has gone through all of it."""
    names = [name for name, tensor in problem.original.params.items() if tensor.ndim > 1]
    return frozenset({next(name for name in names if problem.original.params[name].ndim == 4), names[-1]})


def fitted(problem: Problem) -> Fit:
    """Train the curve for one step, on two tensors: copies of all would take gigabytes."""
    params, moving = problem.original.params, first_and_last(problem)
    end = {name: tensor * 0.5 if name in moving else tensor for name, tensor in params.items()}
    config = CurveConfig(train=TrainConfig(epochs=1, learning_rate=0.1, weight_decay=0.0, batch_size=4))
    return fit_curve(problem, end, moving, REFERENCES, config, rng=stream(0, "test"), runtime=runtime_of(problem))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_on_the_curve_moves_the_mask_and_its_middle_is_an_ordinary_model(name: str) -> None:
    problem = posed(name)
    pathway = fitted(problem).pathway
    for tensor in pathway.mask:
        middle = (pathway.original[tensor] + pathway.end[tensor]) / 2.0
        assert bool(pathway.control[tensor].isfinite().all())
        assert not torch.equal(pathway.control[tensor], middle)
    point = State(params=pathway.at(0.5), buffers=problem.original.buffers)
    called = logits(runtime_of(problem), point, problem.test)
    problem.model.load_state_dict({**point.params, **point.buffers})
    assert called.shape == (2, CLASSES)
    torch.testing.assert_close(called, _answers(problem.model, problem), atol=1e-5, rtol=1e-4)  # other memory layouts


def _answers(model: nn.Module, problem: Problem) -> torch.Tensor:
    with torch.inference_mode():
        outputs: torch.Tensor = model.eval()(runtime_of(problem).reader.read(problem.test).images.contiguous())
    return outputs.clone()
