"""What measuring 20 points of a pathway reads and costs, and what choosing a point costs."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from benchmarks import measure
from benchmarks.subjects import random_images, subject
from mcu_core.config import PointPolicy, SelectionConfig
from mcu_core.connectivity.selection import choose_point
from mcu_core.connectivity.sweep import SelectionRows, Sweep, path_point
from mcu_core.data import BatchReader, View
from mcu_core.experiments.cells import FORMAT, CellRecord, PathwayCell
from mcu_core.images import ImageData
from mcu_core.params import midpoint
from mcu_core.report import PathPoint, References
from mcu_core.types import Batch, Pathway

REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.8)
PARTS = (256, 256, 512, 256)
"""Images for BatchNorm, of D_f, of D_r, of D_v."""
OPTIMA = {"in_the_window": 0.86, "left_of_the_window": 0.4}
"""t of smallest gap of the two smooth pathways; the window begins at .75."""
TARGET = 4
"""Evaluations of a choice, besides θ_p's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountingReader(BatchReader):
    """Remembers how often each sample was read."""

    reads: Counter[int] = field(default_factory=Counter)

    def read(self, rows: Tensor, *, forget_count: int = 0, view: View | None = None) -> Batch:
        """Return the samples as any reader does."""
        self.reads.update(rows.tolist())
        return BatchReader.read(self, rows, forget_count=forget_count, view=view)


def build(name: str, parts: Sequence[int] = PARTS) -> tuple[Sweep, Counter[int]]:
    """Build a pathway between random ends over random images.

    Args:
        name: of the network.
        parts: numbers of images, as `PARTS`.

    Returns:
        What measures the pathway, and how often each image was read so far.
    """
    chosen = subject(name, 16, torch.float32)
    count = sum(parts)
    rng = torch.Generator().manual_seed(1)
    data = ImageData(images=random_images(count, rng), labels=torch.randint(0, 10, (count,), generator=rng))
    runtime = chosen.runtime
    reader = CountingReader(data=data, architecture=runtime.reader.architecture, device=runtime.device)
    batchnorm, forget, retain, validation = torch.arange(count).split(list(parts))  # type: ignore[no-untyped-call]
    sweep = Sweep(
        runtime=replace(runtime, reader=reader),
        pathway=Pathway(
            original=chosen.start.params,
            control=midpoint(chosen.start.params, chosen.end),
            end=chosen.end,
            mask=frozenset(chosen.start.params),
        ),
        buffers=chosen.start.buffers,
        rows=SelectionRows(
            batchnorm=batchnorm,
            forget=forget,
            retain=retain,
            validation=validation,
            compared=torch.arange(len(validation)),
            known_forget=torch.zeros(len(forget), dtype=torch.float64),
            known_compared=torch.zeros(len(validation), dtype=torch.float64),
        ),
        references=REFERENCES,
    )
    return sweep, reader.reads


def reads_of_an_image(name: str, positions: Sequence[float], parts: Sequence[int] = PARTS) -> list[int]:
    """Return the different numbers of times that measuring these t reads an image."""
    sweep, reads = build(name, parts)
    sweep.measure(positions)
    return sorted(set(reads.values()))


def compare(name: str, positions: Sequence[float], *, rounds: int, parts: Sequence[int] = PARTS) -> measure.Json:
    """Time the measuring of all points at once against one point after the other."""
    sweep, _ = build(name, parts)
    timings = measure.interleave(
        {
            "together": lambda: sweep.measure(positions),
            "one_by_one": lambda: [sweep.measure([t]) for t in positions],
        },
        rounds=rounds,
        warm_up=0,
    )
    return {
        "threads": torch.get_num_threads(),
        "ratios_to_together": measure.ratios(timings, "together"),
        "timings": measure.as_json(timings),
    }


def evaluations(optimum: float, *, sweep: bool) -> dict[str, int]:
    """Count what choosing a point evaluates on a smooth pathway, whose accuracy on D_f falls linearly.

    Args:
        optimum: t of smallest gap.
        sweep: whether the effective region is drawn too.
    """
    seen: list[float] = []

    def known(positions: Sequence[float]) -> tuple[PathPoint, ...]:
        seen.extend(positions)
        return tuple(
            path_point(t, forget=0.8 + 0.2 * (optimum - t), retain=1.0, validation=0.8, references=REFERENCES)
            for t in positions
        )

    choose_point(known, REFERENCES, SelectionConfig(sweep=sweep))
    return {"all": len(seen), "besides_the_pre_unlearned_model": _besides_the_end(seen)}


def real_evaluations(records: Iterable[CellRecord]) -> dict[str, measure.Json]:
    """Return what the balanced choice evaluated on the pathways of experiments, by criterion; other choices sweep."""
    found: dict[str, list[list[float]]] = {}
    for record in records:
        cell = record.cell
        if (
            isinstance(cell, PathwayCell)
            and record.chosen is not None
            and cell.selection.policy is PointPolicy.BALANCED
        ):
            found.setdefault(cell.selection.criterion, []).append([point.t for point in record.chosen.evaluated])
    return {criterion: _counted(pathways) for criterion, pathways in found.items()}


def _counted(pathways: Sequence[Sequence[float]]) -> measure.Json:
    besides = [_besides_the_end(positions) for positions in pathways]
    return {
        "pathways": len(pathways),
        "all": _spread([len(positions) for positions in pathways]),
        "besides_the_pre_unlearned_model": _spread(besides),
        "share_within_the_target": sum(number <= TARGET for number in besides) / len(besides),
    }


def read_records(folder: Path) -> list[CellRecord]:
    """Return the records of a folder; those of another format are left out, as experiments do."""
    records = []
    for path in sorted(folder.glob("*.json")):
        with suppress(ValidationError):
            records.append(CellRecord.model_validate_json(path.read_bytes()))
    return [record for record in records if record.format == FORMAT]


def _besides_the_end(positions: Iterable[float]) -> int:
    return sum(t < 1.0 for t in positions)


def _spread(numbers: Sequence[int]) -> dict[str, float]:
    return {"minimum": min(numbers), "median": statistics.median(numbers), "maximum": max(numbers)}


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=2)
    parser.add_argument("--network", default="preresnet20")
    parser.add_argument("--points", type=int, default=20, help="of the pathway")
    parser.add_argument("--cells", type=Path, default=measure.RESULTS / "cells", help="records of real pathways")
    options = parser.parse_args()
    positions = torch.linspace(0.0, 1.0, options.points).tolist()
    reads = reads_of_an_image(options.network, positions)
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        rows.append(compare(options.network, positions, rounds=options.rounds))
    result = {
        "network": options.network,
        "points": len(positions),
        "images": sum(PARTS),
        "reads_of_an_image": reads,
        "evaluations_of_a_choice": {
            "target_besides_the_pre_unlearned_model": TARGET,
            "smooth_pathways": {
                name: {
                    "optimum": t,
                    "without_sweep": evaluations(t, sweep=False),
                    "with_sweep": evaluations(t, sweep=True),
                }
                for name, t in OPTIMA.items()
            },
            "real_pathways": real_evaluations(read_records(options.cells)),
        },
        "rows": rows,
    }
    measure.write("sweep", result, options.out)


if __name__ == "__main__":
    main()
