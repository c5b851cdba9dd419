"""How long to train: what the paper sets for each of its three data sets (arXiv 2505.10859, appendix C), and we."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

BENCH_EPOCHS = 25
"""Horizon of the originals' training: PreResNet-20 has memorised 12 000 images of Fashion-MNIST after 18."""


class PaperCase(StrEnum):
    """Whose settings methods and curves take."""

    CIFAR10 = "cifar10"
    """On PreResNet-110."""
    IMAGENET100 = "imagenet100"
    """On ViT-B/16 that was trained before."""
    TINY_IMAGENET = "tiny-imagenet"
    """On VGG-16-BN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSettings:
    """Epochs, and what NegTV has of its own; every other rate is .01 in all three."""

    relabel_epochs: int
    """Of FT, RL, SalUn, and of NegTV on D_f."""
    ascent_epochs: int
    """Of GA and NegGrad+."""
    curve_epochs: int
    class_curve_epochs: int
    """Where a class is forgotten."""
    negation_rate: float = 0.01
    """Learning rate of NegTV on D_f."""
    scale: float
    """α of NegTV."""
    class_scale: float
    """Where a class is forgotten."""


def settings_of(case: PaperCase) -> CaseSettings:
    """Return the settings of one case."""
    match case:
        case PaperCase.CIFAR10:
            return CaseSettings(
                relabel_epochs=10, ascent_epochs=5, curve_epochs=10, class_curve_epochs=5, scale=0.9, class_scale=0.2
            )
        case PaperCase.IMAGENET100:
            return CaseSettings(
                relabel_epochs=5,
                ascent_epochs=2,
                curve_epochs=2,
                class_curve_epochs=2,
                negation_rate=0.001,
                scale=0.9,
                class_scale=0.9,
            )
        case PaperCase.TINY_IMAGENET:
            return CaseSettings(
                relabel_epochs=10, ascent_epochs=5, curve_epochs=5, class_curve_epochs=5, scale=0.1, class_scale=0.1
            )
        case _:
            assert_never(case)
