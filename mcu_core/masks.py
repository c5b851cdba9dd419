"""Which parameters may move: MCU's mask over whole tensors, SalUn's over elements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
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
    note: str | None = None
    """Why it is another mask than the one asked for."""


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
    sizes: Mapping[str, int],
    retain_scores: Mapping[str, float],
    forget_scores: Mapping[str, float],
    config: MaskConfig,
    rng: torch.Generator,
) -> TensorMask:
    """Choose the tensors that matter to D_f and not too much to D_r.

    `SEQUENTIAL`: of P elements, exclude the tensors with the highest s_r until k_r·P elements are excluded; of the rest
    keep those with the highest s_f until k·P are kept. `AND`: keep what is among the highest s_f up to k·P and not
    among the highest s_r up to k_r·P, each ranked over all tensors. `RANDOM`: keep tensors in random order up to k·P.
    `FULL`: keep all. The tensor that crosses a threshold is taken only if that brings the count nearer to it: with few
    large tensors the overshoot is otherwise most of the network.

    Args:
        sizes: elements by tensor.
        retain_scores: s_r by tensor, under D_r at θ_o; not read by `RANDOM` and `FULL`.
        forget_scores: s_f by tensor, under D_f at θ_o; likewise.
        config: mode, k, k_r and the least number of tensors.
        rng: of `RANDOM`.

    Returns:
        The names, with the share of elements that they hold. Where fewer than `least_tensors` would be kept the mask is
        full and says so: a curve with few tensors to bend can hardly leave the straight line.

    Raises:
        ConfigurationError: `SEQUENTIAL` excluded everything.

    Source: arXiv 2505.10859, section 2.3, algorithm 1 (sequential) and equation 5 as printed (and).
    """
    total = sum(sizes.values())
    keep, exclude = config.keep * total, config.exclude * total
    match config.mode:
        case MaskMode.FULL:
            return TensorMask(names=frozenset(sizes), share=1.0)
        case MaskMode.SEQUENTIAL:
            excluded = _take_highest(sizes, retain_scores, exclude)
            rest = {name: size for name, size in sizes.items() if name not in excluded}
            if not rest:
                raise ConfigurationError(f"mask.exclude {config.exclude} leaves none of the {len(sizes)} tensors")
            kept = _take_highest(rest, forget_scores, keep)
        case MaskMode.AND:
            kept = _take_highest(sizes, forget_scores, keep) - _take_highest(sizes, retain_scores, exclude)
        case MaskMode.RANDOM:
            order = torch.rand(len(sizes), generator=rng).tolist()
            kept = _take_highest(sizes, dict(zip(sorted(sizes), order, strict=True)), keep)
        case _:
            assert_never(config.mode)
    if len(kept) < min(config.least_tensors, len(sizes)):
        note = f"full, since {config.mode.value} with these shares would move {len(kept)} of {len(sizes)} tensors only"
        return TensorMask(names=frozenset(sizes), share=1.0, note=note)
    return TensorMask(names=kept, share=sum(sizes[name] for name in kept) / total)


def select_elements(gradients: Params, keep: float) -> dict[str, Tensor]:
    """Choose the elements with the largest gradient, ranked over all tensors together.

    Args:
        gradients: of CE(D_f) at θ_o, by tensor; the sign plays no part.
        keep: share of all elements, in (0, 1].

    Returns:
        A bool tensor by name, true where an element may move; round(keep · P) of them in all.

    Source: SalUn (Fan et al., arXiv 2310.12508), equation 2.
    """
    magnitudes = torch.cat([gradient.abs().flatten() for gradient in gradients.values()])
    chosen = torch.zeros_like(magnitudes, dtype=torch.bool)
    # Stable, so that equal gradients are chosen in the order of the tensors on every machine.
    chosen[magnitudes.argsort(descending=True, stable=True)[: round(keep * len(magnitudes))]] = True
    parts = torch.split_with_sizes(chosen, [gradient.numel() for gradient in gradients.values()])
    return {name: part.view(gradients[name].shape) for name, part in zip(gradients, parts, strict=True)}


def _take_highest(sizes: Mapping[str, int], scores: Mapping[str, float], target: float) -> frozenset[str]:
    taken: list[str] = []
    count = 0
    # Names break ties, so that the choice does not depend on the order of the tensors.
    for name in sorted(sizes, key=lambda name: (-scores[name], name)):
        with_it = count + sizes[name]
        if abs(with_it - target) >= abs(count - target):
            break
        taken.append(name)
        count = with_it
    return frozenset(taken)


def element_counts(params: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of elements of each tensor."""
    return {name: tensor.numel() for name, tensor in params.items()}
