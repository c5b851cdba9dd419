"""NegGrad and SalUn of the library torchunlearn against ours, from the same weights on the same images.

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

from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.fashion import Deletion, average_gap
from mcu_core.config import MethodConfig, NegGradPlusConfig, SalUnConfig
from mcu_core.methods import unlearn
from mcu_core.models import state_of
from mcu_core.runtime import stream
from mcu_core.types import State

BATCH = 128
OPTIMISER = "SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)"
"""Of torchunlearn's own examples, five epochs of it."""
EPOCHS = 5


def compare(case: Deletion, truth: Mapping[str, float], paths: Sequence[Path]) -> dict[str, dict[str, object]]:
    """Run both methods of both libraries once; theirs as their README does, ours with our defaults.

    Args:
        case: the problem.
        truth: metrics of the retrained model.
        paths: to put on the module path: the library, and what it imports without declaring it.

    Returns:
        By library and method: process seconds an epoch, the four metrics and Avg. Gap.
    """
    sys.path.extend(str(path) for path in paths)
    library = importlib.import_module("torchunlearn")
    trainers = importlib.import_module("torchunlearn.unlearn")
    merged = importlib.import_module("torchunlearn.utils.data").MergedLoaders

    def theirs(build: Callable[[Any], Any]) -> Callable[[], State]:
        def run() -> State:
            network: nn.Module = copy.deepcopy(case.runtime.model)
            network.load_state_dict({**case.problem.original.params, **case.problem.original.buffers})
            loaders = {"Retain": _loader(case, case.problem.retain), "Forget": _loader(case, case.problem.forget)}
            trainer = build(library.RobModel(network, n_classes=10))
            if hasattr(trainer, "compute_saliency_mask"):
                trainer.compute_saliency_mask(loaders["Forget"])
            trainer.setup(optimizer=OPTIMISER, n_epochs=EPOCHS)
            trainer.fit(train_loaders=merged(loaders), n_epochs=EPOCHS, record_type=None, save_type=None)
            return state_of(network)

        return run

    def ours(config: MethodConfig) -> Callable[[], State]:
        return lambda: unlearn(case.problem, config, stream(0, "unlearn"), runtime=case.runtime)

    neggrad, salun = NegGradPlusConfig(), SalUnConfig()
    runs = {
        "torchunlearn NegGrad": (theirs(lambda model: trainers.NegGrad(model, retain_lambda=0.5)), EPOCHS),
        "NegGrad+": (ours(neggrad), neggrad.train.epochs),
        "torchunlearn SalUn": (theirs(trainers.SalUn), EPOCHS),
        "SalUn": (ours(salun), salun.train.epochs),
    }
    return {name: _measured(case, truth, run, epochs) for name, (run, epochs) in runs.items()}


def _measured(case: Deletion, truth: Mapping[str, float], run: Callable[[], State], epochs: int) -> dict[str, object]:
    start = time.process_time()
    state = run()
    seconds = time.process_time() - start
    metrics = case.metrics(state)
    return {
        "seconds_per_epoch": seconds / epochs,
        "seconds": seconds,
        "epochs": epochs,
        "metrics": metrics,
        "average_gap": average_gap(metrics, truth),
    }


def _loader(case: Deletion, rows: Tensor) -> DataLoader[tuple[Tensor, ...]]:
    batch = case.runtime.reader.read(rows)
    return DataLoader(TensorDataset(batch.images, batch.labels), batch_size=BATCH, shuffle=True)
