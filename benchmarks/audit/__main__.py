"""`python -m benchmarks.audit`: one part at a time."""

import argparse
from pathlib import Path

import torch

from benchmarks import measure
from benchmarks.audit import __doc__ as description
from benchmarks.audit import null, page, power, pseudo, results, timing
from benchmarks.audit.candidates import Offered
from benchmarks.audit.setting import SEEDS, open_bench
from mcu_core.config import Augmentation

AUGMENTED = (Offered.RETRAINED, Offered.NEGGRAD_PLUS)
"""Candidates of the training with augmentation: one to be accepted if anything could be seen, and one that is not."""


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(1)
    match options.part:
        case "null":
            null.rejections(options.out, options.repetitions)
            null.coverage(options.out, 2 * options.repetitions)
        case "power" | "augmented":
            _audit(options)
        case "pseudo":
            pseudo.rejections(_scores(options), options.out, options.repetitions)
        case "time":
            timing.measured(options.out, network="preresnet20", small="preresnet8", rounds=options.rounds)
    page.write_page(options.out)


def _audit(options: argparse.Namespace) -> None:
    augmentation = Augmentation.CROP_FLIP if options.part == "augmented" else Augmentation.NONE
    bench = open_bench(options.store, augmentation=augmentation)
    for seed in options.seeds:
        power.audit_seed(
            bench,
            seed,
            options.candidates,
            name=f"{options.part}-{seed}",
            scores=_scores(options),
            folder=options.out,
            train=options.train,
            calibrated=options.part == "power",
            again=options.again,
        )


def _scores(options: argparse.Namespace) -> Path:
    scores: Path = options.scores or options.store / "data" / "audit"
    return scores


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=description)
    parser.add_argument("--out", type=Path, default=results.FOLDER, help="folder of the results and of the page")
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("null", help="rejections of exchangeable scores, coverage of the AUC's interval; minutes")
    part.add_argument("--repetitions", type=int, default=1_000, help="of each row")
    for name, seeds, candidates, told in (
        ("power", SEEDS, tuple(Offered), "verdicts on models that were made on purpose; hours"),
        ("augmented", (0,), AUGMENTED, "the same where crops and flips leave little to be seen; an hour"),
    ):
        part = parts.add_parser(name, help=told)
        part.add_argument("--seeds", type=int, nargs="+", default=seeds)
        part.add_argument("--candidates", type=Offered, nargs="+", default=candidates, choices=tuple(Offered))
        part.add_argument(
            "--train", action="store_true", help="also what `unlearn bench forgetting` would have trained"
        )
        part.add_argument("--again", action="store_true", help="judge kept scores anew: the statistics have changed")
        _add_store(part)
    part = parts.add_parser("pseudo", help="unseen images of real models in the place of D_f; after power, minutes")
    part.add_argument("--repetitions", type=int, default=500, help="of each row")
    _add_store(part)
    part = parts.add_parser("time", help="of SCORE, and of everything after it; minutes")
    part.add_argument("--rounds", type=int, default=5, help="timed calls")
    parts.add_parser("page", help="only write the page anew")
    return parser


def _add_store(part: argparse.ArgumentParser) -> None:
    part.add_argument("--store", type=Path, default=measure.RESULTS, help="cells, weights and data of `unlearn bench`")
    part.add_argument("--scores", type=Path, help="folder of what SCORE found; data/audit in the store by default")


if __name__ == "__main__":
    main()
