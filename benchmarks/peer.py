"""Against others: the paper's reference loop (`--peer`), and the library torchunlearn (`--torchunlearn`)."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import measure
from benchmarks.fashion import FOLDER, deletion
from benchmarks.reference_loop import reference_step
from benchmarks.step import SUBJECTS
from benchmarks.subjects import subject
from benchmarks.torchunlearn_library import compare


def against_reference(options: argparse.Namespace) -> list[dict[str, object]]:
    """Time the step of MCU_β with the full mask; the reference's too where its checkout is given."""
    rows: list[dict[str, object]] = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name, batch in SUBJECTS:
            candidates: dict[str, Callable[[], object]] = {
                "mcu_float32": subject(name, batch, torch.float32).mcu(None),
                "mcu_bfloat16": subject(name, batch, torch.bfloat16).mcu(None),
            }
            if options.peer is not None:
                candidates["reference_float32"] = reference_step(options.peer, name, batch)
            timings = measure.interleave(candidates, rounds=options.rounds)
            base = "mcu_float32" if options.peer is None else "reference_float32"
            rows.append(
                {
                    "network": name,
                    "batch": batch,
                    "threads": threads,
                    f"ratios_to_{base}": measure.ratios(timings, base),
                    "timings": measure.as_json(timings),
                }
            )
    return rows


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=20)
    parser.add_argument("--peer", type=Path, help="checkout of TIML-Group/Mode-Connectivity-Unlearning")
    parser.add_argument("--torchunlearn", type=Path, nargs="+", help="folders of torchunlearn and of what it imports")
    parser.add_argument("--fashion-mnist", type=Path, default=FOLDER, help="folder of its idx files")
    parser.add_argument("--network", default="preresnet14", help="for torchunlearn")
    parser.add_argument("--images", type=int, default=3000, help="for torchunlearn: training images")
    options = parser.parse_args()
    result: dict[str, object] = {"reference": "not given (--peer), so only our own steps are timed"}
    if options.peer is not None:
        result["reference"] = "TIML-Group/Mode-Connectivity-Unlearning"
    result["steps"] = against_reference(options) if options.rounds else []
    if options.torchunlearn is None:
        result["torchunlearn"] = "not given (--torchunlearn)"
    else:
        torch.set_num_threads(options.threads[0])
        case = deletion(options.fashion_mnist, network=options.network, images=options.images, seed=0)
        truth = case.metrics(case.retrained(seed=0))
        result["torchunlearn"] = {
            "network": options.network,
            "images": options.images,
            "retrained": truth,
            "original": case.metrics(case.problem.original),
            "methods": compare(case, truth, options.torchunlearn),
        }
    measure.write("peer", result, options.out)


if __name__ == "__main__":
    main()
