"""The networks that weights can belong to, and the names under which they are built."""

import re

import torch
from torch import nn

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import ArchitectureError
from mcu_core.models.preresnet import BASIC_DEPTHS, BOTTLENECK_DEPTHS, preresnet
from mcu_core.models.torchvision_models import available, build_torchvision
from mcu_core.types import State

_PRERESNET = re.compile(r"preresnet(\d+)")
_TORCHVISION = "torchvision:"


def build(architecture: ArchitectureConfig) -> nn.Module:
    """Build a network. Its weights are arbitrary; the global random state is not changed.

    Args:
        architecture: name, width of the output, channels.

    Returns:
        The module on the CPU.

    Raises:
        ArchitectureError: there is no such network, or it does not take such images.
    """
    with torch.random.fork_rng(devices=[]):
        return _build(architecture)


def initialise(architecture: ArchitectureConfig, seed: int) -> State:
    """Return freshly initialised weights; the same seed gives the same bits.

    Args:
        architecture: which network.
        seed: of the initialisation.

    Returns:
        A state on the CPU.

    Raises:
        ArchitectureError: as `build`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return state_of(_build(architecture))


def state_of(model: nn.Module) -> State:
    """Return a copy of a module's parameters and persistent buffers."""
    params = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    buffers = {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if name not in params}
    return State(params=params, buffers=buffers)


def names() -> tuple[str, ...]:
    """Return every name that `build` knows."""
    own = tuple(f"preresnet{depth}" for depth in sorted({*BASIC_DEPTHS, *BOTTLENECK_DEPTHS}))
    return own + tuple(_TORCHVISION + name for name in available())


def _build(architecture: ArchitectureConfig) -> nn.Module:
    name = architecture.name
    own = _PRERESNET.fullmatch(name)
    if own and int(own[1]) in {*BASIC_DEPTHS, *BOTTLENECK_DEPTHS}:
        return preresnet(int(own[1]), classes=architecture.classes, channels=architecture.channels)
    if name.startswith(_TORCHVISION) and name.removeprefix(_TORCHVISION) in available():
        return build_torchvision(name.removeprefix(_TORCHVISION), architecture)
    raise ArchitectureError(f"there is no architecture {name!r}; there are {', '.join(names())}")
