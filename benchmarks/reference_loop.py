"""A step of the paper's public reference code: its curve modules from a checkout, its loop as it is published.

The checkout is imported, nothing of it is in this repository: https://github.com/TIML-Group/Mode-Connectivity-Unlearning
(seen at ff1f215). Its `unlearn.py` needs CUDA and an account of a logging service, so the loop's operations are written
out here: boolean indexing of both parts of a batch, accuracies read back to the host, β in Python, a backward through
the curve to every parameter, SGD.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.subjects import FORGET_SHARE, TRAIN

A_TRAIN, A_V = 100.0, 80.0
"""Percent, as the reference code counts."""


def reference_step(checkout: Path, name: str, rows: int) -> Callable[[], object]:
    """Build the reference's network for `preresnet20` or `preresnet110` and one batch of noise.

    Args:
        checkout: folder that holds `curves.py` and `models/preresnet.py`.
        name: of the network.
        rows: of the batch.

    Returns:
        The step.
    """
    curves = _load("curves", checkout / "curves.py")
    networks = _load("_reference_preresnet", checkout / "models" / "preresnet.py")
    depth = int(name.removeprefix("preresnet"))
    kind = networks.PreResNet110
    torch.manual_seed(0)
    network = curves.CurveNet(10, curves.Bezier, kind.curve, 3, True, True, {"depth": depth})  # noqa: FBT003 - theirs
    for index in (0, 2):
        network.import_base_parameters(kind.base(10, depth), index)
    network.init_linear()
    network.train()
    optimiser = torch.optim.SGD(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=TRAIN.learning_rate,
        momentum=TRAIN.momentum,
    )
    images, labels = torch.randn(rows, 3, 32, 32), torch.randint(0, 10, (rows,))
    is_forget = torch.arange(rows) < round(FORGET_SHARE * rows)

    def step() -> None:
        outputs = network(images)
        retain, forget = outputs[~is_forget], outputs[is_forget]
        retain_loss = functional.cross_entropy(retain, labels[~is_forget])
        forget_loss = functional.cross_entropy(forget, labels[is_forget])
        beta = _beta(_percent(forget, labels[is_forget]), _percent(retain, labels[~is_forget]))
        optimiser.zero_grad()
        (retain_loss - beta * forget_loss).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def _percent(outputs: Tensor, labels: Tensor) -> float:
    return 100.0 * float((outputs.argmax(dim=1) == labels).sum()) / len(labels)


def _beta(forget: float, retain: float) -> float:
    if forget <= A_V:
        return 0.0
    return 0.01 if (forget - A_V) / A_V < (retain - A_TRAIN) / A_TRAIN else 0.5


def _load(name: str, path: Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
