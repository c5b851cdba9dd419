"""SalUn's SVC attack on merged points against the same attack on raw ones, on confidences of a real model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.svm import SVC

from benchmarks import measure
from benchmarks.fashion import FOLDER, deletion
from mcu_core.audit.membership import Confidences, fit_svc


def fit_raw(members: Confidences, nonmembers: Confidences) -> SVC:
    """Fit the same classifier on every point as it is."""
    points = np.concatenate([members, nonmembers])[:, None]
    return SVC(C=3.0, gamma="auto", kernel="rbf").fit(points, np.repeat([1, 0], [len(members), len(nonmembers)]))


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=5)
    parser.add_argument("--fashion-mnist", type=Path, default=FOLDER, help="folder of its idx files")
    parser.add_argument("--network", default="preresnet14")
    parser.add_argument("--samples", type=int, default=2000, help="members, and as many non-members")
    options = parser.parse_args()
    torch.set_num_threads(options.threads[0])
    case = deletion(options.fashion_mnist, network=options.network, images=options.samples * 10 // 9 + 10, seed=0)
    original = case.problem.original
    heldout = torch.cat([case.problem.validation, case.problem.test])
    members, nonmembers, sealed, forget = (
        case.confidences(original, rows)
        for rows in (
            case.problem.retain[: options.samples],
            heldout[: options.samples],
            case.sealed,
            case.problem.forget,
        )
    )
    fits: dict[str, Callable[[], SVC]] = {
        "raw": lambda: fit_raw(members, nonmembers),
        "merged": lambda: fit_svc(members, nonmembers),
    }
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        timings = measure.interleave(fits, rounds=options.rounds, warm_up=1)
        rows.append(
            {
                "threads": threads,
                "ratios_to_merged": measure.ratios(timings, "merged"),
                "timings": measure.as_json(timings),
            }
        )
    equal = {}
    for name, queries in {"forget": forget, "sealed": sealed, "members": members, "non-members": nonmembers}.items():
        answers = [fit().predict(queries[:, None]) for fit in fits.values()]
        equal[name] = float(np.mean(answers[0] == answers[1]))
    result = {
        "network": options.network,
        "samples": options.samples,
        "distinct_points": sum(len(np.unique(np.round(part, 4))) for part in (members, nonmembers)),
        "share_of_equal_decisions": equal,
        "rows": rows,
    }
    measure.write("svc", result, options.out)


if __name__ == "__main__":
    main()
