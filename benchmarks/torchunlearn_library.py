"""NegGrad and SalUn of the library torchunlearn against ours, from the same weights on the same images.

Equal for both: the original, the samples, the number of epochs (an epoch reads D_r once; torchunlearn reads D_f again
and again meanwhile, ours once), and BatchNorm statistics that are estimated anew on D_r before measuring, on nobody's
account. Otherwise theirs runs as their README does, ours with our defaults.

The wheel of torchunlearn 0.1.0 on PyPI holds no trainers (its subpackages were not packaged), so a checkout of
https://github.com/Harry24k/machine-unlearning-pytorch is what can be measured.
"""

import copy
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.fashion import Deletion
from benchmarks.measure import Json
from mcu_core.config import MethodConfig, NegGradPlusConfig, SalUnConfig, SelectionConfig
from mcu_core.data import subsample
from mcu_core.experiments.cells import Metrics
from mcu_core.experiments.metrics import average_gap, compared
from mcu_core.inference import reestimate_batchnorm
from mcu_core.methods import unlearn
from mcu_core.models import state_of
from mcu_core.runtime import stream
from mcu_core.types import State

BATCH = 128
OPTIMISER = "SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)"
"""Of torchunlearn's own examples."""
EPOCHS = 5
"""Of torchunlearn's own examples; ours run as many."""

Run = Callable[[], State]


def compare(case: Deletion, truth: Metrics, runs: Mapping[str, Run], *, epochs: int = EPOCHS) -> dict[str, Json]:
    """Run each method once and measure what it leaves.

    Args:
        case: the problem.
        truth: metrics of the retrained model.
        runs: by library and method.
        epochs: that each of them runs.

    Returns:
        By name: process seconds in all and an epoch, the four metrics and Avg. Gap.
    """
    found: dict[str, Json] = {}
    for name, run in runs.items():
        start = time.process_time()
        raw = run()
        seconds = time.process_time() - start
        metrics = case.measure(_with_statistics_of_retain(case, raw))
        found[name] = {
            "seconds": seconds,
            "epochs": epochs,
            "seconds_per_epoch": seconds / epochs,
            "metrics": compared(metrics),
            "average_gap": average_gap(metrics, truth),
        }
    return found


def our_runs(case: Deletion, *, epochs: int = EPOCHS) -> dict[str, Run]:
    """Return NegGrad+ and SalUn with our defaults but for the number of epochs."""

    def ours(config: MethodConfig) -> Run:
        return lambda: unlearn(case.problem, config, stream(0, "unlearn"), runtime=case.runtime)

    neggrad, salun = NegGradPlusConfig(), SalUnConfig()
    return {
        "NegGrad+": ours(NegGradPlusConfig(train=neggrad.train.model_copy(update={"epochs": epochs}))),
        "SalUn": ours(SalUnConfig(train=salun.train.model_copy(update={"epochs": epochs}))),
    }


def their_runs(case: Deletion, paths: Sequence[Path], *, epochs: int = EPOCHS) -> dict[str, Run]:
    """Return NegGrad and SalUn of torchunlearn.

    Args:
        case: the problem.
        paths: to put on the module path: the library, and what it imports without declaring it.
        epochs: of each.
    """
    sys.path.extend(str(path) for path in paths)
    library = importlib.import_module("torchunlearn")
    trainers = importlib.import_module("torchunlearn.unlearn")
    merged = importlib.import_module("torchunlearn.utils.data").MergedLoaders
    loaders = {"Retain": _loader(case, case.problem.retain), "Forget": _loader(case, case.problem.forget)}

    def theirs(build: Callable[[Any], Any]) -> Run:
        def run() -> State:
            network: nn.Module = copy.deepcopy(case.runtime.model)
            network.load_state_dict({**case.problem.original.params, **case.problem.original.buffers})
            trainer = build(library.RobModel(network, n_classes=10))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # it draws from the global state
                if hasattr(trainer, "compute_saliency_mask"):
                    trainer.compute_saliency_mask(loaders["Forget"])
                trainer.setup(optimizer=OPTIMISER, n_epochs=epochs)
                trainer.fit(train_loaders=merged(loaders), n_epochs=epochs, record_type=None, save_type=None)
            return state_of(network)

        return run

    return {
        "torchunlearn NegGrad": theirs(lambda model: trainers.NegGrad(model, retain_lambda=0.5)),
        "torchunlearn SalUn": theirs(trainers.SalUn),
    }


def _with_statistics_of_retain(case: Deletion, state: State) -> State:
    rows = subsample(case.problem.retain, SelectionConfig().batchnorm_images, stream(0, "batchnorm"))
    return reestimate_batchnorm(case.runtime, state, rows)


def _loader(case: Deletion, rows: Tensor) -> DataLoader[tuple[Tensor, ...]]:
    batch = case.runtime.reader.read(rows)
    return DataLoader(TensorDataset(batch.images, batch.labels), batch_size=BATCH, shuffle=True)
