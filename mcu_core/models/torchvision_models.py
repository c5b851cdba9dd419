"""Any image classifier of torchvision, without its published weights."""

from importlib import import_module
from types import ModuleType

from torch import nn

from mcu_core.config import ArchitectureConfig
from mcu_core.errors import ArchitectureError

_TWO_OUTPUTS = frozenset({"googlenet", "inception_v3"})
"""With their auxiliary heads they return in train mode what no loss of ours reads: they are built without them."""


def available() -> tuple[str, ...]:
    """Return the names of the classifiers that can be built."""
    zoo = _zoo()
    return tuple(zoo.list_models(module=zoo))


def build_torchvision(name: str, architecture: ArchitectureConfig) -> nn.Module:
    """Build one of `available()` with random weights.

    Args:
        name: as torchvision spells it.
        architecture: width of the output, channels and image size.

    Returns:
        The module on the CPU.

    Raises:
        ArchitectureError: the classifier does not take such images.
    """
    if architecture.channels != 3:
        raise ArchitectureError(f"torchvision:{name} takes images of 3 channels, the configuration has 1")
    if name.startswith("vit_"):
        # The position embedding is built for one size.
        patch = int(name.rsplit("_", 1)[1])
        if architecture.image_size % patch:
            raise ArchitectureError(
                f"torchvision:{name} needs an image_size divisible by {patch}, got {architecture.image_size}"
            )
        module: nn.Module = _zoo().get_model(
            name, weights=None, num_classes=architecture.classes, image_size=architecture.image_size
        )
        return module
    # Left out, `init_weights` is a warning that it will change.
    single = {"aux_logits": False, "init_weights": True} if name in _TWO_OUTPUTS else {}
    classifier: nn.Module = _zoo().get_model(name, weights=None, num_classes=architecture.classes, **single)
    return classifier


def _zoo() -> ModuleType:
    # Importing it takes two seconds, which every job on a network of our own would spend for nothing.
    return import_module("torchvision.models")
