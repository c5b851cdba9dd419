"""A step of MCU_β against a plain SGD step of the same network, batch and precision."""

import torch

from benchmarks import measure
from benchmarks.subjects import subject

SUBJECTS = (("preresnet20", 128), ("preresnet110", 32))
PRECISIONS = (torch.float32, torch.bfloat16)


def main() -> None:
    options = measure.arguments(str(__doc__), rounds=20).parse_args()
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name, batch in SUBJECTS:
            for dtype in PRECISIONS:
                chosen = subject(name, batch, dtype)
                mask = chosen.mask()
                timings = measure.interleave(
                    {
                        "plain_contiguous": chosen.plain(channels_last=False),
                        "plain": chosen.plain(channels_last=True),
                        "mcu_full": chosen.mcu(None),
                        "mcu_masked": chosen.mcu(mask.names),
                    },
                    rounds=options.rounds,
                )
                rows.append(
                    {
                        "network": name,
                        "batch": batch,
                        "precision": str(dtype).removeprefix("torch."),
                        "threads": threads,
                        "mask_share": mask.share,
                        "mask_tensors": len(mask.names),
                        "ratios_to_plain_channels_last": measure.ratios(timings, "plain"),
                        "timings": measure.as_json(timings),
                    }
                )
    measure.write("step", {"rows": rows}, options.out)


if __name__ == "__main__":
    main()
