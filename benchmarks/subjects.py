"""The steps that are measured, over random images: their cost does not depend on what is in them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.measure import CPU, Json
from mcu_core import models
from mcu_core.config import AdaptiveBetaConfig, ArchitectureConfig, MaskConfig, MaskMode, TrainConfig
from mcu_core.connectivity.beta import Penalty
from mcu_core.connectivity.bezier import Curve, uniform_positions
from mcu_core.connectivity.fit import ascent
from mcu_core.data import BatchReader
from mcu_core.images import ImageData
from mcu_core.masks import TensorMask, element_counts, gradient_scores, select_tensors
from mcu_core.params import midpoint
from mcu_core.report import References
from mcu_core.runtime import Runtime
from mcu_core.training import Descent, mean_gradient
from mcu_core.types import Batch, Params, Phase, State

FORGET_SHARE = 0.18
"""Of a batch: D_f is a tenth of the training split and half of D_r is read, so .1 / (.1 + .45)."""
TRAIN = TrainConfig(epochs=1, learning_rate=1e-3, weight_decay=0.0)
"""A rate at which random labels do not diverge."""
MASK = MaskConfig(mode=MaskMode.SEQUENTIAL, keep=0.5, exclude=0.1, least_tensors=1)
"""Of the masked step."""
CANDIDATES = {
    "plain_contiguous": "cross-entropy, torch's SGD with its default loop over tensors",
    "plain": "the same, channels_last",
    "plain_fused": "the same, channels_last, torch's SGD with fused=True as MCU's is",
    "mcu_full": "MCU_β with an adaptive β, every tensor moves",
    "mcu_masked": "the same, only the tensors of the mask move",
}
"""What the names of the steps mean."""

Step = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A network with one batch, on which every candidate takes its steps."""

    runtime: Runtime
    batch: Batch
    start: State
    end: Params

    def plain(self, *, channels_last: bool, fused: bool = False) -> Step:
        """Return a step of torch's own SGD over a plain module, as anybody would write it.

        Args:
            channels_last: layout of the weights and images in memory.
            fused: one kernel updates each tensor; otherwise torch's default.
        """
        network = self.runtime.network().train()
        network.load_state_dict({**self.start.params, **self.start.buffers})
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network.to(memory_format=layout)
        images, labels = self.batch.images.contiguous(memory_format=layout), self.batch.labels
        optimiser = torch.optim.SGD(
            network.parameters(), lr=TRAIN.learning_rate, momentum=TRAIN.momentum, fused=True if fused else None
        )

        def step() -> None:
            optimiser.zero_grad()
            functional.cross_entropy(self.runtime.apply(network, images), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

        return step

    def mcu(self, mask: frozenset[str] | None) -> Step:
        """Return a step of MCU_β with an adaptive β."""
        control = midpoint(self.start.params, self.end)
        positions = uniform_positions(torch.Generator().manual_seed(0), CPU, 10_000)
        penalty = Penalty(AdaptiveBetaConfig(), References(train_accuracy=1.0, validation_accuracy=0.8))
        descent = Descent(
            self.runtime,
            State(params=control, buffers=self.start.buffers),
            ascent(penalty),
            TRAIN,
            mask=mask,
            penalty=None,
            placement=Curve(original=self.start.params, end=self.end, positions=positions),
        )
        return lambda: descent.step(self.batch, TRAIN.learning_rate)

    def mask(self) -> TensorMask:
        """Return `MASK` as the gradients of this network's random data have it."""
        count = len(self.batch.labels)
        rows = torch.arange(count)
        forget, retain = (
            gradient_scores(mean_gradient(self.runtime, self.start, part, phase=Phase.MASK))
            for part in (rows[: self.batch.forget_count], rows[self.batch.forget_count :])
        )
        rng = torch.Generator().manual_seed(0)
        return select_tensors(element_counts(self.start.params), retain, forget, MASK, rng)


def described(mask: TensorMask) -> Json:
    """Return which mask it is, for a result."""
    asked = MASK.model_dump(mode="json", include={"mode", "keep", "exclude"})
    return {**asked, "share": mask.share, "tensors": len(mask.names), "note": mask.note}


def subject(name: str, rows: int, dtype: torch.dtype) -> Subject:
    """Build a network for 10 classes with one batch of random 32 × 32 RGB images."""
    architecture = ArchitectureConfig(
        name=name, classes=10, channels=3, image_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
    )
    rng = torch.Generator().manual_seed(0)
    data = ImageData(images=random_images(rows, rng), labels=torch.randint(0, 10, (rows,), generator=rng))
    reader = BatchReader(data=data, architecture=architecture, device=CPU)
    start = models.initialise(architecture, 0)
    return Subject(
        runtime=Runtime(model=models.build(architecture), reader=reader, dtype=dtype, evaluation_batch=128),
        batch=reader.read(torch.arange(rows), forget_count=round(FORGET_SHARE * rows)),
        start=start,
        end={
            key: tensor + 0.01 * torch.randn(tensor.shape, generator=rng) * tensor.std(correction=0)
            for key, tensor in start.params.items()
        },
    )


def random_images(count: int, rng: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), generator=rng).to(torch.uint8)
