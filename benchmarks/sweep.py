"""What measuring 20 points of a pathway reads and costs, and what choosing a point costs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks import measure
from benchmarks.subjects import random_images, subject
from mcu_core.config import SelectionConfig
from mcu_core.connectivity.selection import choose_point
from mcu_core.connectivity.sweep import SelectionRows, Sweep
from mcu_core.data import BatchReader
from mcu_core.params import midpoint
from mcu_core.report import PathPoint, References
from mcu_core.types import Batch, ImageData, Pathway

REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.8)
PARTS = (256, 256, 512, 256)
"""Images for BatchNorm, of D_f, of D_r, of D_v."""


class _CountingReader(BatchReader):
    """Remembers how often each sample was read."""

    read_counts: Counter[int] = Counter()  # noqa: RUF012 - one for the process, cleared before each count

    def read(self, rows: Tensor, *, forget_count: int = 0) -> Batch:
        self.read_counts.update(rows.tolist())
        return BatchReader.read(self, rows, forget_count=forget_count)


def build(name: str) -> Sweep:
    """Build a pathway between random ends over random images."""
    chosen = subject(name, 16, torch.float32)
    count = sum(PARTS)
    rng = torch.Generator().manual_seed(1)
    data = ImageData(images=random_images(count, rng), labels=torch.randint(0, 10, (count,), generator=rng))
    runtime = chosen.runtime
    reader = _CountingReader(data=data, architecture=runtime.reader.architecture, device=runtime.device)
    batchnorm, forget, retain, validation = torch.arange(count).split(list(PARTS))  # type: ignore[no-untyped-call]
    return Sweep(
        runtime=replace(runtime, reader=reader),
        pathway=Pathway(
            original=chosen.start.params,
            control=midpoint(chosen.start.params, chosen.end),
            end=chosen.end,
            mask=frozenset(chosen.start.params),
        ),
        buffers=chosen.start.buffers,
        rows=SelectionRows(batchnorm=batchnorm, forget=forget, retain=retain, validation=validation),
        references=REFERENCES,
    )


def evaluations(sweep: bool) -> dict[str, int]:
    """Count what choosing a point on a smooth pathway evaluates."""
    seen: list[float] = []

    def known(positions: Sequence[float]) -> tuple[PathPoint, ...]:
        seen.extend(positions)
        return tuple(
            PathPoint(
                t=t, forget_accuracy=1.66 - t, retain_accuracy=1.0, validation_accuracy=0.8, gap=abs(0.86 - t) / 2
            )
            for t in positions
        )

    choose_point(known, REFERENCES, SelectionConfig(sweep=sweep))
    return {"all": len(seen), "beyond_the_pre_unlearned_model": sum(t < 1.0 for t in seen)}


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=2)
    parser.add_argument("--network", default="preresnet20")
    options = parser.parse_args()
    built = build(options.network)
    positions = torch.linspace(0.0, 1.0, 20).tolist()
    _CountingReader.read_counts.clear()
    built.measure(positions)
    counts = set(_CountingReader.read_counts.values())
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        timings = measure.interleave(
            {
                "together": lambda: built.measure(positions),
                "one_by_one": lambda: [built.measure([t]) for t in positions],
            },
            rounds=options.rounds,
            warm_up=0,
        )
        rows.append(
            {
                "threads": threads,
                "ratios_to_together": measure.ratios(timings, "together"),
                "timings": measure.as_json(timings),
            }
        )
    result = {
        "network": options.network,
        "points": len(positions),
        "images": sum(PARTS),
        "reads_of_an_image": sorted(counts),
        "evaluations_with_sweep": evaluations(sweep=True),
        "evaluations_without_sweep": evaluations(sweep=False),
        "rows": rows,
    }
    measure.write("sweep", result, options.out)


if __name__ == "__main__":
    main()
