"""Against others: the paper's reference loop (`--peer`), and the library torchunlearn (`--torchunlearn`)."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import measure
from benchmarks.fashion import FOLDER, Deletion, deletion, fashion_mnist
from benchmarks.reference_loop import reference_step
from benchmarks.step import SUBJECTS
from benchmarks.subjects import subject
from benchmarks.torchunlearn_library import EPOCHS, Run, compare, our_runs, their_runs
from mcu_core.experiments.metrics import compared


def against_reference(name: str, batch: int, peer: Path | None, *, rounds: int) -> measure.Json:
    """Time the step of MCU_β with the full mask; the reference's too where its checkout is given.

    Args:
        name: of the network.
        batch: number of rows.
        peer: the checkout.
        rounds: that are timed.
    """
    candidates: dict[str, Callable[[], object]] = {
        "mcu_float32": subject(name, batch, torch.float32).mcu(None),
        "mcu_bfloat16": subject(name, batch, torch.bfloat16).mcu(None),
    }
    if peer is not None:
        candidates["reference_float32"] = reference_step(peer, name, batch)
    timings = measure.interleave(candidates, rounds=rounds)
    base = "mcu_float32" if peer is None else "reference_float32"
    return {
        "network": name,
        "batch": batch,
        "threads": torch.get_num_threads(),
        f"ratios_to_{base}": measure.ratios(timings, base),
        "timings": measure.as_json(timings),
    }


def against_library(case: Deletion, runs: dict[str, Run], *, epochs: int = EPOCHS) -> measure.Json:
    """Measure what methods leave, the original and the model retrained without D_f."""
    truth = case.measure(case.retrained(seed=0))
    return {
        "retrained": compared(truth),
        "original": compared(case.measure(case.problem.original)),
        "methods": compare(case, truth, runs, epochs=epochs),
    }


def _library(options: argparse.Namespace) -> measure.Json:
    torch.set_num_threads(options.threads[0])
    samples = fashion_mnist(options.fashion_mnist, images=options.images)
    case = deletion(samples, network=options.network, images=options.images, seed=0)
    runs = {**their_runs(case, options.torchunlearn), **our_runs(case)}
    return {"network": options.network, "images": options.images, **against_library(case, runs)}


def main() -> None:
    parser = measure.arguments(str(__doc__), rounds=20)
    parser.add_argument("--peer", type=Path, help="checkout of TIML-Group/Mode-Connectivity-Unlearning")
    parser.add_argument("--torchunlearn", type=Path, nargs="+", help="folders of torchunlearn and of what it imports")
    parser.add_argument("--fashion-mnist", type=Path, default=FOLDER, help="folder of its idx files")
    parser.add_argument("--network", default="preresnet14", help="for torchunlearn")
    parser.add_argument("--images", type=int, default=3000, help="for torchunlearn: training images")
    options = parser.parse_args()
    steps = []
    for threads in options.threads if options.rounds else []:
        torch.set_num_threads(threads)
        steps += [against_reference(name, batch, options.peer, rounds=options.rounds) for name, batch in SUBJECTS]
    result = {
        "reference": "not given (--peer), so only our own steps are timed"
        if options.peer is None
        else "TIML-Group/Mode-Connectivity-Unlearning",
        "steps": steps,
        "torchunlearn": "not given (--torchunlearn)" if options.torchunlearn is None else _library(options),
    }
    measure.write("peer", result, options.out)


if __name__ == "__main__":
    main()
