"""The page of all parts' results, from their JSON alone."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks import measure
from benchmarks.audit import results
from benchmarks.audit.candidates import Offered
from benchmarks.audit.power import DRAWS
from mcu_core.experiments.markdown import DASH, table
from mcu_core.report.judgement import Verdict

NAMES = {
    Offered.ORIGINAL: "the original",
    Offered.RETRAINED: "retrained",
    Offered.NEGGRAD_PLUS: "NegGrad+, one epoch",
    Offered.OVER_FORGOTTEN: "over-forgotten",
    Offered.SHUFFLED: "shuffled labels",
    Offered.MCU_BETA: "MCU_β-NegGrad+",
    Offered.QUANTILE: "MCU `quantile`",
    Offered.REFERENCE: "MCU `reference`",
    Offered.REFERENCE_LONGER: "`reference`, four epochs",
}
SHORT = {
    Verdict.ACCEPT_POWERED: "accepted",
    Verdict.ACCEPT_CANARY_BACKED: "accepted by canaries",
    Verdict.NEEDS_REVIEW: "to a person",
    Verdict.REJECT: "rejected",
    Verdict.VACUOUS: "vacuous",
    Verdict.INVALID: "invalid",
}
SIGNALS = {"phi": "φ", "calibrated": "calibrated φ"}


def write_page(folder: Path) -> None:
    """Write `audit.md` beside the results."""
    (folder / "audit.md").write_text(page(folder), encoding="utf-8")


def page(folder: Path) -> str:
    """Return the Markdown."""
    parts = ["# What the audit can see\n", *_power(folder), *_augmented(folder), *_null(folder), *_time(folder)]
    return "\n".join(parts)


def _power(folder: Path) -> list[str]:
    seeds = _seeds(folder, "power")
    if not seeds:
        return []
    text = (
        "## Models that were made on purpose\n\n"
        "Fashion-MNIST, PreResNet-20, 12 000 training images without augmentation, a random tenth is forgotten; "
        f"seeds {', '.join(str(seed['settings']['seed']) for seed in seeds)}; policy {seeds[0]['settings']['policy']}. "
        "No canaries. Non-members are shares of everything outside of the 12 000 by keyed hash: 10 % D_t, 5 % C_cal, "
        "10 % C_eval. Fewer than 1 200 samples are random parts of D_f: the model forgot all of it, so a request of so "
        f"few would have moved it less ({DRAWS[10]} parts a seed). Verdicts are counted over seeds and parts.\n"
    )
    tables = [
        f"{title[:1].upper()}{title[1:]}:\n\n{verdicts([seed['candidates'] for seed in seeds], signal)}"
        for signal, title in SIGNALS.items()
        if any(row["signal"] == signal for seed in seeds for row in _rows(seed["candidates"].values()))
    ]
    return [text, *tables, reasons([seed["candidates"] for seed in seeds])]


def verdicts(seeds: Sequence[measure.Json], signal: str) -> str:
    """Return the table of verdicts on one signal.

    Args:
        seeds: candidates of each seed.
        signal: φ, or φ with references.
    """
    head = ["candidate", "seeds", *(f"n_f = {count:,}".replace(",", " ") for count in DRAWS), "AUC", "of the original"]
    lines = []
    for offered, name in NAMES.items():
        found = [seed[offered] for seed in seeds if offered in seed]
        rows = [row for row in _rows(found) if row["signal"] == signal]
        diverged = sum("diverged" in one for one in found)
        if not rows and not diverged:
            continue
        largest = [row for row in rows if row["forget"] == max(DRAWS)]
        used = sum(any(row["signal"] == signal for row in one["rows"]) for one in found)
        areas = [_mean([row["auc"][0] for row in largest]), _mean([row["original_auc"] for row in largest])]
        counted = [_counts([row for row in rows if row["forget"] == count], diverged) for count in DRAWS]
        lines.append([name, str(used + diverged), *counted, *areas])
    return table(head, lines)


def reasons(seeds: Sequence[measure.Json]) -> str:
    """Return why whole deletions were decided as they were."""
    lines = []
    for offered, name in NAMES.items():
        for signal, title in SIGNALS.items():
            rows = [
                row
                for row in _rows(seed[offered] for seed in seeds if offered in seed)
                if row["signal"] == signal and row["forget"] == max(DRAWS)
            ]
            codes = Counter(code for row in rows for code in dict.fromkeys(row["reasons"]))
            if rows:
                lines.append([name, title, ", ".join(f"{code} {count}" for code, count in codes.most_common())])
    return "What decided at n_f = 1 200:\n\n" + table(["candidate", "signal", "reasons"], lines)


def _augmented(folder: Path) -> list[str]:
    seeds = _seeds(folder, "augmented")
    if not seeds:
        return []
    text = (
        "## A training with augmentation\n\nThe same with random crops and flips: the original memorises little, and "
        "there is little to be seen.\n"
    )
    return [text, verdicts([seed["candidates"] for seed in seeds], "phi")]


def _null(folder: Path) -> list[str]:
    parts = ["## Where nothing is to be found\n"]
    null, pseudo, coverage = (results.read(name, folder) for name in ("null", "pseudo", "coverage"))
    if null:
        lines = [[row["scores"], str(row["forget"]), str(row["nonmembers"]), *_rate(row)] for row in null["rows"]]
        parts.append(
            f"Rejections at α = {null['settings']['alpha']} by Holm's family of the three primary tests (AUC, both 1 % "
            f"tails) of exchangeable scores, {null['settings']['repetitions']} repetitions a row:\n\n"
            + table(["scores", "n_f", "non-members", "rejected", "95 % interval"], lines)
        )
    if pseudo:
        lines = [[row["model"], SIGNALS[row["signal"]], str(row["forget"]), *_rate(row)] for row in pseudo["rows"]]
        parts.append(
            "The same with unseen images of real models in the place of D_f, dealt anew "
            f"{pseudo['settings']['repetitions']} times a row:\n\n"
            + table(["model", "signal", "n_f", "rejected", "95 % interval"], lines)
        )
    if coverage:
        lines = [[row["scores"], str(row["forget"]), f"{row['truth']:.3f}", *_rate(row)] for row in coverage["rows"]]
        settings = coverage["settings"]
        parts.append(
            "Coverage of the AUC's 95 % interval (Newcombe below 50 samples, DeLong on the logit scale above) of "
            f"normal scores, {settings['nonmembers']} non-members, {settings['repetitions']} repetitions a row:\n\n"
            + table(["scores", "n_f", "true AUC", "covered", "95 % interval"], lines)
        )
    return parts if len(parts) > 1 else []


def _time(folder: Path) -> list[str]:
    found = results.read("time", folder)
    if not found:
        return []
    after, score = found["after_score"], found["score"]
    steps = ", ".join(f"{name} {one['median_seconds']:.2f}" for name, one in after["timings"].items())
    ratio = score["ratios_to_evaluation"]["score"]
    scored = (
        f"SCORE takes {ratio['by_median']:.2f} times a plain evaluation of the same images on the same models "
        f"({found['network']}, one thread, medians; by minima {ratio['by_minimum']:.2f}; aim ≤ {score['target']}). "
    )
    reported = (
        f"Reading the scores, STATS, GATE and the report for {after['forget']} deleted and {after['nonmembers']} "
        f"unseen samples take {after['median_seconds']:.1f} s on one core (aim < {after['target_seconds']:.0f} s): "
        f"{steps}.\n"
    )
    where = f"{found['environment']['processor']}; torch {found['environment']['torch']}.\n"
    return ["## Time\n", scored + reported, where]


def _seeds(folder: Path, name: str) -> list[measure.Json]:
    found = [results.read(path.stem, folder) for path in folder.glob(f"{name}-*.json")]
    return sorted(found, key=lambda seed: int(seed["settings"]["seed"]))


def _rows(candidates: Iterable[measure.Json]) -> list[measure.Json]:
    return [row for candidate in candidates for row in candidate["rows"]]


def _counts(rows: Sequence[measure.Json], diverged: int) -> str:
    counts = Counter(row["verdict"] for row in rows)
    parts = [f"{SHORT[verdict]} {counts[verdict]}" for verdict in Verdict if counts[verdict]]
    return ", ".join([*parts, *([f"diverged {diverged}"] if diverged else [])])


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" if values else DASH


def _rate(row: measure.Json) -> tuple[str, str]:
    return f"{100 * row['share']:.1f} %", f"{100 * row['low']:.1f} to {100 * row['high']:.1f} %"
