"""Tiny problems on which everything of the core runs in a second, and the methods that run on them."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core import models
from mcu_core.config import (
    AlignConfig,
    ArchitectureConfig,
    AuditConfig,
    BadTeacherConfig,
    CurveConfig,
    FinetuneConfig,
    GradientAscentConfig,
    L1SparseConfig,
    MethodConfig,
    NegGradPlusConfig,
    NegTaskVectorConfig,
    Precision,
    QuantileConfig,
    RandomLabelConfig,
    ReferenceConfig,
    RetrainConfig,
    SalUnConfig,
    Schedule,
    ScrubConfig,
    SelectionConfig,
    SsdConfig,
    TrainConfig,
    UnlearningConfig,
    default_ladder,
)
from mcu_core.connectivity.bezier import Curve
from mcu_core.data import BatchReader
from mcu_core.images import GuardedImages, ImageData, Images, SealedSamples, seal
from mcu_core.inference import logits
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.packing import layout_of
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Params, Problem, Teacher

CLASSES = 3
SIZE = 8
TRAIN, HELD_OUT, FORGET, VALIDATION, SEALED, CALIBRATION = 120, 120, 24, 20, 40, 30
"""Sizes; C_eval are the last `SEALED` of `HELD_OUT`, C_cal come after them."""

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
    MethodCase(
        name="finetune",
        config=FinetuneConfig(train=TrainConfig(epochs=12, learning_rate=0.1, batch_size=40)),
        least_retain_accuracy=0.9,
    ),
    MethodCase(
        name="random_label",
        config=RandomLabelConfig(train=TrainConfig(epochs=8, learning_rate=0.05, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
    MethodCase(
        name="gradient_ascent",
        config=GradientAscentConfig(train=TrainConfig(epochs=8, learning_rate=0.02, batch_size=12)),
        least_retain_accuracy=0.6,
    ),
    MethodCase(
        name="salun",
        config=SalUnConfig(train=TrainConfig(epochs=8, learning_rate=0.05, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
    MethodCase(
        name="neg_task_vector",
        config=NegTaskVectorConfig(scale=0.9, train=TrainConfig(epochs=4, learning_rate=0.2, batch_size=12)),
        least_retain_accuracy=0.6,
    ),
    MethodCase(
        name="align_quantile",
        config=AlignConfig(objective=QuantileConfig(), train=TrainConfig(epochs=12, learning_rate=0.05, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
    MethodCase(
        name="align_reference",
        config=AlignConfig(objective=ReferenceConfig(), train=TrainConfig(epochs=8, learning_rate=0.05, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
    MethodCase(
        name="scrub",
        config=ScrubConfig(
            ascent_epochs=5, forget_batch_size=12, train=TrainConfig(epochs=8, learning_rate=0.02, batch_size=40)
        ),
        least_retain_accuracy=0.8,
    ),
    MethodCase(name="ssd", config=SsdConfig(alpha=2.0, strength=0.5), least_retain_accuracy=0.6),
    MethodCase(
        name="l1_sparse",
        config=L1SparseConfig(gamma=1e-3, train=TrainConfig(epochs=12, learning_rate=0.05, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
    MethodCase(
        name="bad_teacher",
        config=BadTeacherConfig(retain_share=0.5, train=TrainConfig(epochs=12, learning_rate=0.05, batch_size=40)),
        least_retain_accuracy=0.8,
    ),
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
    """Return classes of bright bars in noise; forget rows, D_v and the sealed ones have random labels.

    Random labels can only be memorised: on separable data every method would look perfect, and no audit would see
    anything. D_v and the sealed samples are drawn as the forget ones, or these would differ without any model.
    """
    rng = torch.Generator().manual_seed(seed)
    images, labels = _bars(TRAIN + HELD_OUT, rng)
    labels[:FORGET] = torch.randint(0, CLASSES, (FORGET,), generator=rng)
    labels[TRAIN : TRAIN + VALIDATION] = torch.randint(0, CLASSES, (VALIDATION,), generator=rng)
    labels[-SEALED:] = torch.randint(0, CLASSES, (SEALED,), generator=rng)
    more, _ = _bars(CALIBRATION, rng)
    more_labels = torch.randint(0, CLASSES, (CALIBRATION,), generator=rng)
    return ImageData(images=torch.cat([images, more]).to(torch.uint8), labels=torch.cat([labels, more_labels]))


def _bars(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 120, (count, 1, SIZE, SIZE), generator=rng)
    for label in range(CLASSES):
        images[labels == label, 0, 2 * label + 1] += 120
    return images, labels


def tiny_runtime(data: Images, architecture: ArchitectureConfig = TINY) -> Runtime:
    """Return a float32 runtime on the CPU."""
    reader = BatchReader(data=data, architecture=architecture, device=torch.device("cpu"))
    return Runtime(model=models.build(architecture), reader=reader, dtype=torch.float32, evaluation_batch=64)


def tiny_problem(seed: int = 0) -> Problem:
    """Return a problem whose original has memorised D_f."""
    data = tiny_data(seed)
    runtime = tiny_runtime(data)
    original = train_from_scratch(runtime, torch.arange(TRAIN), RECIPE, stream(seed, "original"))
    unaware = train_from_scratch(runtime, torch.arange(FORGET, TRAIN), RECIPE, stream(seed, "teacher"))
    validation = torch.arange(TRAIN, TRAIN + VALIDATION)
    return Problem(
        model=runtime.model,
        architecture=TINY,
        original=original,
        data=data,
        forget=torch.arange(FORGET),
        retain=torch.arange(FORGET, TRAIN),
        validation=validation,
        test=torch.arange(TRAIN + VALIDATION, TRAIN + 80),
        teacher=Teacher(
            forget=logits(runtime, unaware, torch.arange(FORGET)).softmax(dim=1),
            validation=logits(runtime, unaware, validation).softmax(dim=1),
        ),
    )


def tiny_sealed(seed: int = 0) -> SealedSamples:
    """Return the non-members that belong to `tiny_problem`."""
    return seal_tiny(tiny_data(seed))[1]


def seal_tiny(data: ImageData) -> tuple[GuardedImages, SealedSamples]:
    """Return samples like those of `tiny_data` without the last of them, and the key to these."""
    end = TRAIN + HELD_OUT
    return seal(data, calibration=torch.arange(end, end + CALIBRATION), evaluation=torch.arange(end - SEALED, end))


def pixels_of(problem: Problem) -> Tensor:
    """Return a copy of all samples of a problem that seals none, uint8 `[N, C, H, W]`."""
    return problem.data.pixels(torch.arange(len(problem.data.labels)))


def evaluate_curve(
    original: Params, control: Params, end: Params, t: float, *, moving: AbstractSet[str] | None = None
) -> tuple[Params, Tensor]:
    """Return φ(t) and 2 t (1 - t) as a training has them that moves some tensors, or all."""
    layout = layout_of(original, original.keys() if moving is None else moving)
    like = next(iter(original.values()))
    curve = Curve(original=original, end=end, positions=iter([torch.tensor(t, dtype=like.dtype)])).packed(layout)
    evaluated = torch.empty(layout.size, dtype=like.dtype)
    curve.advance()
    factor = curve.write(layout.pack(control), evaluated)
    return layout.views(evaluated), factor
