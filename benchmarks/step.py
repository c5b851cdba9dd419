"""A step of MCU_β against a plain SGD step of the same network, batch and precision."""

import torch

from benchmarks import measure
from benchmarks.subjects import CANDIDATES, described, subject

SUBJECTS = (("preresnet20", 128), ("preresnet110", 32))
PRECISIONS = (torch.float32, torch.bfloat16)


def compare(name: str, batch: int, dtype: torch.dtype, *, rounds: int) -> measure.Json:
    """Time the steps of one network on one batch.

    Args:
        name: of the network.
        batch: number of rows.
        dtype: of the forward pass.
        rounds: that are timed.

    Returns:
        The mask, the ratios to both plain steps in channels_last, and the timings.
    """
    chosen = subject(name, batch, dtype)
    mask = chosen.mask()
    timings = measure.interleave(
        {
            "plain_contiguous": chosen.plain(channels_last=False),
            "plain": chosen.plain(channels_last=True),
            "plain_fused": chosen.plain(channels_last=True, fused=True),
            "mcu_full": chosen.mcu(None),
            "mcu_masked": chosen.mcu(mask.names),
        },
        rounds=rounds,
    )
    return {
        "network": name,
        "batch": batch,
        "precision": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "mask": described(mask),
        "ratios_to_plain": measure.ratios(timings, "plain"),
        "ratios_to_plain_fused": measure.ratios(timings, "plain_fused"),
        "timings": measure.as_json(timings),
    }


def main() -> None:
    options = measure.arguments(str(__doc__), rounds=20).parse_args()
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        rows += [compare(name, batch, dtype, rounds=options.rounds) for name, batch in SUBJECTS for dtype in PRECISIONS]
    measure.write("step", {"candidates": CANDIDATES, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
