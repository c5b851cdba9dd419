"""Trains small models and writes what came out: alone, or as one of several ranks that `torchrun` started."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mcu_core import models
from mcu_core.config import (
    AdaptiveBetaConfig,
    AscentConfig,
    Augmentation,
    CurveConfig,
    FinetuneConfig,
    RandomLabelConfig,
    TrainConfig,
)
from mcu_core.connectivity.fit import fit_curve
from mcu_core.data import BatchReader
from mcu_core.methods import unlearn
from mcu_core.parallel import joined, rank
from mcu_core.report import References
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem, State
from tests.cases import TINY, tiny_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training."""

    forget: int
    """Samples of D_f; the others up to 200 are D_r."""
    batch: int
    augmentation: Augmentation = Augmentation.NONE
    method: type[FinetuneConfig | RandomLabelConfig] | None = None
    """`None` bends a curve with an adaptive β."""

    @property
    def train(self) -> TrainConfig:
        """Return the training."""
        return TrainConfig(
            epochs=5, learning_rate=0.05, weight_decay=0.01, batch_size=self.batch, augmentation=self.augmentation
        )


CASES = {
    "even": Case(forget=40, batch=30),
    "odd": Case(forget=33, batch=26),
    "one_sample": Case(forget=1, batch=30),
    "augmented": Case(forget=33, batch=26, augmentation=Augmentation.CROP_FLIP),
    "boxes": Case(forget=33, batch=26, augmentation=Augmentation.RESIZED_CROP_FLIP),
    "unmixed": Case(forget=33, batch=23, method=FinetuneConfig),
    "relabelled": Case(forget=33, batch=23, method=RandomLabelConfig),
}
"""Batches of 10 rows of D_f and 20 of D_r, of 5 and 21, of 1 and 29, and of 21 and 23 without parts."""


def network() -> nn.Module:
    """Return a network without BatchNorm."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 3))


def train(case: Case) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return the trained tensors, and how often β had which value."""
    torch.set_num_threads(1)
    model = network()
    rng = torch.Generator().manual_seed(0)
    start, end = (
        {name: 0.2 * torch.randn(tensor.shape, generator=rng) for name, tensor in models.state_of(model).params.items()}
        for _ in range(2)
    )
    data = tiny_data()
    problem = Problem(
        model=model,
        architecture=TINY,
        original=State(params=start, buffers={}),
        data=data,
        forget=torch.arange(case.forget),
        retain=torch.arange(case.forget, 200),
        validation=torch.arange(200, 220),
        test=torch.arange(220, 240),
    )
    runtime = Runtime(
        model=model,
        reader=BatchReader(data=data, architecture=TINY, device=torch.device("cpu")),
        dtype=torch.float32,
        evaluation_batch=64,
    )
    if case.method is not None:
        config = case.method(train=case.train)
        return dict(unlearn(problem, config, stream(0, "method"), runtime=runtime).params), {}
    fit = fit_curve(
        problem,
        end,
        frozenset(start),
        References(train_accuracy=0.9, validation_accuracy=0.35),
        CurveConfig(train=case.train, objective=AscentConfig(beta=AdaptiveBetaConfig(smoothing=0.5))),
        rng=stream(0, "curve"),
        runtime=runtime,
    )
    return dict(fit.pathway.control), fit.beta_counts


def main() -> None:
    """Write what each case gave under the folder that is given."""
    with joined():
        found: dict[str, Tensor] = {}
        for name, case in CASES.items():
            state, counts = train(case)
            found |= {f"{name}/{tensor}": value for tensor, value in state.items()}
            found |= {f"{name}/beta {value}": torch.tensor(count) for value, count in counts.items()}
        save_file(found, Path(sys.argv[1]) / f"{rank()}.safetensors")


if __name__ == "__main__":
    main()
