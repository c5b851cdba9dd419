"""Tiny problems on which everything of the core runs in a second, and the methods that run on them."""

from dataclasses import dataclass

import torch

from mcu_core import models
from mcu_core.config import (
    ArchitectureConfig,
    AuditConfig,
    CurveConfig,
    MethodConfig,
    NegGradPlusConfig,
    Precision,
    RetrainConfig,
    Schedule,
    SelectionConfig,
    TrainConfig,
    UnlearningConfig,
    default_ladder,
)
from mcu_core.data import BatchReader
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, stream
from mcu_core.types import ImageData, Problem, SealedSamples

CLASSES = 3
SIZE = 8
TRAIN, HELD_OUT, FORGET, SEALED = 120, 120, 24, 40

TINY = ArchitectureConfig(name="preresnet8", classes=CLASSES, channels=1, image_size=SIZE, mean=(0.5,), std=(0.25,))

RECIPE = RetrainConfig(
    train=TrainConfig(epochs=25, learning_rate=0.1, weight_decay=5e-4, batch_size=40, schedule=Schedule.ONE_CYCLE),
    stop_at_train_accuracy=1.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCase:
    """A method with settings that unlearn the tiny problem."""

    name: str
    config: MethodConfig
    least_retain_accuracy: float
    """What D_r must keep."""


METHODS = (
    MethodCase(
        name="neggrad_plus",
        config=NegGradPlusConfig(beta=0.6, train=TrainConfig(epochs=8, learning_rate=0.02, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
    MethodCase(name="retrain", config=RECIPE, least_retain_accuracy=0.9),
)


def tiny_config() -> UnlearningConfig:
    """Return settings under which the whole ladder takes seconds; float32, so that machines agree."""
    return UnlearningConfig(
        ladder=default_ladder(RECIPE),
        audit=AuditConfig(retain_images=60, svc_samples=40),
        precision=Precision.FLOAT32,
        evaluation_batch=64,
    )


def tiny_curve() -> CurveConfig:
    """Return a short training of the curve."""
    return CurveConfig(train=TrainConfig(epochs=3, learning_rate=0.01, weight_decay=0.0, batch_size=40))


def tiny_selection() -> SelectionConfig:
    """Return a choice that reads few images."""
    return SelectionConfig(batchnorm_images=64, retain_images=64, sweep_points=6)


def tiny_data(seed: int = 0) -> ImageData:
    """Return classes of bright bars in noise; forget rows (the first) and sealed ones (the last) have random labels.

    Random labels can only be memorised: on separable data every method would look perfect, and no audit would see
    anything. The sealed samples are drawn as the forget ones, or the two would differ without any model.
    """
    rng = torch.Generator().manual_seed(seed)
    count = TRAIN + HELD_OUT
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 120, (count, 1, SIZE, SIZE), generator=rng)
    for label in range(CLASSES):
        images[labels == label, 0, 2 * label + 1] += 120
    labels[:FORGET] = torch.randint(0, CLASSES, (FORGET,), generator=rng)
    labels[-SEALED:] = torch.randint(0, CLASSES, (SEALED,), generator=rng)
    return ImageData(images=images.to(torch.uint8), labels=labels)


def tiny_runtime(data: ImageData, architecture: ArchitectureConfig = TINY) -> Runtime:
    """Return a float32 runtime on the CPU."""
    reader = BatchReader(data=data, architecture=architecture, device=torch.device("cpu"))
    return Runtime(model=models.build(architecture), reader=reader, dtype=torch.float32, evaluation_batch=64)


def tiny_problem(seed: int = 0) -> Problem:
    """Return a problem whose original has memorised D_f."""
    data = tiny_data(seed)
    runtime = tiny_runtime(data)
    original = train_from_scratch(runtime, torch.arange(TRAIN), RECIPE, stream(seed, "original"))
    return Problem(
        model=runtime.model,
        architecture=TINY,
        original=original,
        data=data,
        forget=torch.arange(FORGET),
        retain=torch.arange(FORGET, TRAIN),
        validation=torch.arange(TRAIN, TRAIN + 20),
        test=torch.arange(TRAIN + 20, TRAIN + 80),
    )


def tiny_sealed() -> SealedSamples:
    """Return the non-members that belong to `tiny_problem`."""
    return SealedSamples(rows=torch.arange(TRAIN + HELD_OUT - SEALED, TRAIN + HELD_OUT))
