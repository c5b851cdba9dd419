"""The null on real models: unseen images in the place of D_f must be rejected no more often than α.

Each repetition deals all of C = C_cal ∪ C_eval anew: some images to the place of D_f, the others to be compared with,
in its class proportions as the audit does it.
"""

from pathlib import Path

import numpy as np

from benchmarks import measure
from benchmarks.audit import results
from benchmarks.audit.null import ALPHA, CONFIDENCE, FORGET_COUNTS, TAIL_LEVEL
from mcu_core.judging.holm import adjusted_of
from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.draws import match_classes
from mcu_core.statistics.results import Comparison, primary_results
from mcu_core.statistics.scores import Floats, Integers, ScoreTable, from_parquet


def rejections(scores: Path, folder: Path, repetitions: int) -> None:
    """Measure it on every model whose scores `power` has kept, with references and without."""
    files = sorted(scores.glob("power-*-retrained.parquet")) + sorted(scores.glob("power-*-mcu_beta.parquet"))
    pieces = [
        {"model": path.stem.removeprefix("power-"), "signal": signal, "forget": n}
        for path in files
        for signal in signals(from_parquet(path.read_bytes()))
        for n in FORGET_COUNTS
    ]
    settings = {"alpha": ALPHA, "tail_level": TAIL_LEVEL, "repetitions": repetitions, "seed": 0}

    def measured(piece: measure.Json) -> measure.Json:
        table = from_parquet((scores / f"power-{piece['model']}.parquet").read_bytes())
        found = [rejects(table, signals(table)[piece["signal"]], piece["forget"], seed) for seed in range(repetitions)]
        return results.rate(sum(found), repetitions)

    results.resume("pseudo", settings, pieces, measured, folder)


def signals(table: ScoreTable) -> dict[str, Floats]:
    """Return the primary signals of the candidate."""
    phi = table.models[Role.CANDIDATE].phi
    return {"phi": phi} if table.references is None else {"phi": phi, "calibrated": phi - table.references.phi}


def rejects(table: ScoreTable, values: Floats, count: int, seed: int) -> bool:
    """Return whether the primary tests tell some unseen images from the others."""
    unseen = np.concatenate([table.rows(Group.CALIBRATION), table.rows(Group.EVALUATION)])
    dealt = np.random.default_rng([2, count, seed]).permutation(unseen)
    forget, rest = dealt[:count], np.sort(dealt[count:])
    others = match_classes(table.label, rest, table.label[forget], seed=seed, purpose="benchmark pseudo")
    adjusted = adjusted_of(
        primary_results(_comparison(table, values, forget, others), level=TAIL_LEVEL, confidence=CONFIDENCE)
    )
    if adjusted is None:
        raise RuntimeError("a primary test has no p-value")
    return min(adjusted) <= ALPHA


def _comparison(table: ScoreTable, values: Floats, forget: Integers, others: Integers) -> Comparison:
    return Comparison(
        role=Role.CANDIDATE,
        signal=None,
        forget=values[forget],
        others=values[others],
        forget_subjects=table.subject[forget],
        other_subjects=table.subject[others],
        seed=0,
    )
