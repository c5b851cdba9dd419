"""What the criteria for the point of a pathway are worth: the sweeps of figures 2 to 9, compared with retraining.

Every sweep has measured its pathway at the same t on D_f, D_r and D_v, as the choice reads it, and on D_t, which the
choice never sees. Nothing is trained here.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks import measure
from benchmarks.sweep import read_records
from mcu_core.config import Criterion, SelectionConfig
from mcu_core.connectivity.selection import choose_untried
from mcu_core.experiments.cells import Sweep, SweepCell
from mcu_core.experiments.panels import distance
from mcu_core.report import References

COMPARED = (Criterion.ACCURACY, Criterion.ACCURACY_AND_UTILITY)


def distances(sweep: Sweep, references: References) -> dict[str, float]:
    """Return in points how far from retraining, on D_f, D_r and D_t, the point of each criterion is.

    Args:
        sweep: of a pathway.
        references: its A_v and A_train.
    """
    gaps = {point.t: 100.0 * distance(point, sweep.retrained) for point in sweep.points}
    found = {
        criterion.value: gaps[
            choose_untried(sweep.alignment, (), references, SelectionConfig(criterion=criterion), tried=()).t
        ]
        for criterion in COMPARED
    }
    return {"pre_unlearned": gaps[1.0], **found, "nearest": min(gap for t, gap in gaps.items() if t > 0.0)}


def compare(found: Sequence[dict[str, float]]) -> measure.Json:
    """Return means over pathways, and on how many of them the second criterion is nearer or farther."""
    paper, ours = (criterion.value for criterion in COMPARED)
    return {
        "pathways": len(found),
        "mean_points": {name: round(fmean(one[name] for one in found), 3) for name in found[0]},
        "nearer": sum(one[ours] < one[paper] for one in found),
        "farther": sum(one[ours] > one[paper] for one in found),
        "largest_loss_points": round(max(one[ours] - one[paper] for one in found), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=Path, default=measure.RESULTS / "cells", help="records of sweeps")
    parser.add_argument("--out", type=Path, default=measure.RESULTS, help="folder of the result")
    options = parser.parse_args()
    found = [
        distances(record.sweep, record.references)
        for record in read_records(options.cells)
        if isinstance(record.cell, SweepCell)
        and record.sweep is not None
        and record.references is not None
        and record.sweep.retrained.class_test is None
    ]
    if not found:
        parser.error(f"no sweep of a random deletion in {options.cells}: run unlearn bench figure2 to figure9")
    measure.write("choice", compare(found), options.out)


if __name__ == "__main__":
    main()
