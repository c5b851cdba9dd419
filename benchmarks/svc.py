"""SalUn's SVC attack on merged points against the same attack on raw ones, on confidences of a real model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.svm import SVC

from benchmarks import measure
from benchmarks.fashion import FOLDER, Deletion, deletion, fashion_mnist
from mcu_core.statistics.scores import Floats
from mcu_core.statistics.svc import fit_svc


def fit_raw(members: Floats, nonmembers: Floats) -> SVC:
    """Fit the same classifier on every point as it is."""
    points = np.concatenate([members, nonmembers])[:, None]
    return SVC(C=3.0, gamma="auto", kernel="rbf").fit(points, np.repeat([1, 0], [len(members), len(nonmembers)]))


def compare(case: Deletion, count: int, *, threads: Sequence[int], rounds: int) -> measure.Json:
    """Fit both attacks on the original's confidences.

    Args:
        case: the problem with its original.
        count: most members, and as many non-members.
        threads: numbers of threads to measure with.
        rounds: that are timed.

    Returns:
        How many distinct points there are, the share of equal decisions by group, and the timings.
    """
    problem = case.problem
    heldout = torch.cat([problem.validation, problem.test])
    parts = (problem.retain[:count], heldout[:count], case.rows.sealed, problem.forget)
    members, nonmembers, sealed, forget = (case.confidences(problem.original, part) for part in parts)
    fits: dict[str, Callable[[], SVC]] = {
        "raw": lambda: fit_raw(members, nonmembers),
        "merged": lambda: fit_svc(members, nonmembers),
    }
    rows = []
    for number in threads:
        torch.set_num_threads(number)
        timings = measure.interleave(fits, rounds=rounds, warm_up=1)
        rows.append(
            {
                "threads": number,
                "ratios_to_merged": measure.ratios(timings, "merged"),
                "timings": measure.as_json(timings),
            }
        )
    raw, merged = (fit() for fit in fits.values())
    groups = {"forget": forget, "sealed": sealed, "members": members, "non-members": nonmembers}
    return {
        "members": len(members),
        "nonmembers": len(nonmembers),
        "distinct_points": sum(len(np.unique(np.round(part, 4))) for part in (members, nonmembers)),
        "share_of_equal_decisions": {
            name: float(np.mean(raw.predict(queries[:, None]) == merged.predict(queries[:, None])))
            for name, queries in groups.items()
        },
        "rows": rows,
    }


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=5)
    parser.add_argument("--fashion-mnist", type=Path, default=FOLDER, help="folder of its idx files")
    parser.add_argument("--network", default="preresnet14")
    parser.add_argument("--samples", type=int, default=2000, help="members, and as many non-members")
    options = parser.parse_args()
    torch.set_num_threads(options.threads[0])
    images = options.samples * 10 // 9 + 10
    samples = fashion_mnist(options.fashion_mnist, images=images)
    case = deletion(samples, network=options.network, images=images, seed=0)
    result = compare(case, options.samples, threads=options.threads, rounds=options.rounds)
    measure.write("svc", {"network": options.network, **result}, options.out)


if __name__ == "__main__":
    main()
