"""Trains a small curve and writes what came out: alone, or as one of several ranks that `torchrun` started."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from mcu_core import models
from mcu_core.config import AdaptiveBetaConfig, AscentConfig, CurveConfig, TrainConfig
from mcu_core.connectivity.fit import fit_curve
from mcu_core.data import BatchReader
from mcu_core.parallel import joined, rank
from mcu_core.report import References
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem, State
from tests.cases import TINY, tiny_data


def network() -> nn.Module:
    """Return a network without BatchNorm."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 3))


def train() -> tuple[State, dict[str, int]]:
    """Train a curve of MCU_β; every batch has 10 rows of D_f and 20 of D_r."""
    torch.set_num_threads(1)
    model = network()
    rng = torch.Generator().manual_seed(0)
    start, end = (
        {name: 0.2 * torch.randn(tensor.shape, generator=rng) for name, tensor in models.state_of(model).params.items()}
        for _ in range(2)
    )
    data = tiny_data()
    original = State(params=start, buffers={})
    problem = Problem(
        model=model,
        architecture=TINY,
        original=original,
        data=data,
        forget=torch.arange(40),
        retain=torch.arange(40, 200),
        validation=torch.arange(200, 220),
        test=torch.arange(220, 240),
    )
    fit = fit_curve(
        problem,
        end,
        frozenset(start),
        References(train_accuracy=0.9, validation_accuracy=0.35),
        CurveConfig(
            train=TrainConfig(epochs=5, learning_rate=0.05, weight_decay=0.01, batch_size=30),
            objective=AscentConfig(beta=AdaptiveBetaConfig(smoothing=0.5)),
        ),
        rng=stream(0, "curve"),
        runtime=Runtime(
            model=model,
            reader=BatchReader(data=data, architecture=TINY, device=torch.device("cpu")),
            dtype=torch.float32,
            evaluation_batch=64,
        ),
    )
    return State(params=fit.pathway.control, buffers={}), fit.beta_counts


def main() -> None:
    """Write the control point, and how often β had which value, under the folder that is given."""
    with joined():
        state, counts = train()
        tensors = {**state.params, **{f"beta {value}": torch.tensor(count) for value, count in counts.items()}}
        save_file(tensors, Path(sys.argv[1]) / f"{rank()}.safetensors")


if __name__ == "__main__":
    main()
