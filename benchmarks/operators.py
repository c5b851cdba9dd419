"""Operators that a step hands to torch's dispatcher, autograd's included.

A view moves no data; a `detach` is mostly autograd keeping a tensor, visible only because somebody counts. So both are
counted apart, and `computing` is the rest.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import measure
from benchmarks.reference_loop import reference_step
from benchmarks.subjects import CANDIDATES, described, subject


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[Any] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.counts[func] += 1
        return func(*args, **(kwargs or {}))


def count(step: Callable[[], object]) -> measure.Json:
    """Count the operators of a step that was already run once."""
    step()
    with _Counting() as counting:
        step()
    views = sum(number for operator, number in counting.counts.items() if operator.is_view)
    return {
        "computing": counting.counts.total() - views,
        "views": views,
        "most": {str(operator): number for operator, number in counting.counts.most_common(12)},
    }


def operators(name: str, batch: int, dtype: torch.dtype) -> measure.Json:
    """Count the operators of a network's steps on one batch, by candidate; and say which mask the masked one has."""
    chosen = subject(name, batch, dtype)
    mask = chosen.mask()
    return {
        "mask": described(mask),
        "mcu_full": count(chosen.mcu(None)),
        "mcu_masked": count(chosen.mcu(mask.names)),
        "plain": count(chosen.plain(channels_last=True)),
        "plain_fused": count(chosen.plain(channels_last=True, fused=True)),
    }


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=1)
    parser.add_argument("--peer", type=Path, help="checkout of the reference code of arXiv 2505.10859")
    parser.add_argument("--network", default="preresnet110")
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads[0])
    rows = {
        str(dtype).removeprefix("torch."): operators(options.network, options.batch, dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    if options.peer is not None:
        rows["float32"]["reference"] = count(reference_step(options.peer, options.network, options.batch))
    result = {"network": options.network, "batch": options.batch, "candidates": CANDIDATES, "operators": rows}
    measure.write("operators", result, options.out)


if __name__ == "__main__":
    main()
