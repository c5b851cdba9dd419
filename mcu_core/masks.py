"""MCU's mask over whole parameter tensors: which of them its curve may move."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mcu_core.config import MaskConfig, MaskMode
from mcu_core.errors import ConfigurationError
from mcu_core.types import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMask:
    """The tensors that may move."""

    names: frozenset[str]
    share: float
    """Their share of all elements, in effect."""


def gradient_scores(gradients: Params) -> dict[str, float]:
    """Return each tensor's importance: s_i = ‖g_i‖₂ / numel_i.

    Args:
        gradients: of one loss, by tensor.

    Returns:
        A non-negative score by name.

    Source: arXiv 2505.10859, equations 3 and 4. Equation 4 as printed divides by the norm of the weights; the text
        ("similarly") and equation 3 divide by their number, and so does this.
    """
    return {name: float(gradient.double().norm()) / gradient.numel() for name, gradient in gradients.items()}


def select_tensors(
    sizes: Mapping[str, int], retain_scores: Mapping[str, float], forget_scores: Mapping[str, float], config: MaskConfig
) -> TensorMask:
    """Choose the tensors that matter to D_f and not too much to D_r.

    Of P elements, exclude the tensors with the highest s_r until k_r·P elements are excluded; of the rest keep those
    with the highest s_f until k·P elements are kept. The tensor that crosses a threshold is taken only if that brings
    the count nearer to it: with few large tensors the overshoot is otherwise most of the network. At least one tensor
    is kept. `FULL` keeps all.

    Args:
        sizes: elements by tensor.
        retain_scores: s_r by tensor, under D_r at θ_o.
        forget_scores: s_f by tensor, under D_f at θ_o.
        config: mode, k and k_r.

    Returns:
        The names, with the share of elements that they hold.

    Raises:
        ConfigurationError: everything was excluded.

    Source: arXiv 2505.10859, section 2.3 and algorithm 1 (sequential; equation 5 as printed intersects instead).
    """
    total = sum(sizes.values())
    if config.mode is MaskMode.FULL:
        return TensorMask(names=frozenset(sizes), share=1.0)
    excluded = _take_highest(sizes, retain_scores, config.exclude * total, at_least_one=False)
    rest = {name: size for name, size in sizes.items() if name not in excluded}
    if not rest:
        raise ConfigurationError(f"mask.exclude {config.exclude} leaves none of the {len(sizes)} tensors to move")
    kept = _take_highest(rest, forget_scores, config.keep * total, at_least_one=True)
    return TensorMask(names=kept, share=sum(sizes[name] for name in kept) / total)


def _take_highest(
    sizes: Mapping[str, int], scores: Mapping[str, float], target: float, *, at_least_one: bool
) -> frozenset[str]:
    taken: list[str] = []
    count = 0
    # Names break ties, so that the choice does not depend on the order of the tensors.
    for name in sorted(sizes, key=lambda name: (-scores[name], name)):
        with_it = count + sizes[name]
        nearer = abs(with_it - target) < abs(count - target)
        if not nearer and (taken or not at_least_one):
            break
        taken.append(name)
        count = with_it
    return frozenset(taken)


def element_counts(params: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of elements of each tensor."""
    return {name: tensor.numel() for name, tensor in params.items()}
