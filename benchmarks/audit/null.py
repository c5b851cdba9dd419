"""Where nothing is to be found: how often the primary tests reject, and how often the AUC's interval covers the truth.

Scores are drawn, not those of models. `saturated` is what memorised data look like: most scores are one and the same.
"""

import itertools
import math
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import measure
from benchmarks.audit import results
from mcu_core.judging.holm import adjusted_of
from mcu_core.report.evidence import Role
from mcu_core.report.plan import Signal
from mcu_core.statistics.results import Comparison, auc_result, primary_results
from mcu_core.statistics.scores import Floats

ALPHA, TAIL_LEVEL, CONFIDENCE = 0.05, 0.01, 0.95
"""Of the policy that is shipped, and of its plans' intervals."""
FORGET_COUNTS, NONMEMBER_COUNTS = (1, 2, 10, 100), (2_000, 10_000)
STEP = 0.25
"""In deviations, to which tied scores are rounded."""
SATURATED = 0.7
"""Share of saturated scores that are the largest one."""
DRAWS = ("continuous", "tied", "saturated")
COVERED_COUNTS, COVERED_AREAS, COVERED_NONMEMBERS = (10, 50, 100, 1_000), (0.5, 0.6, 0.75, 0.9), 2_000


def rejections(folder: Path, repetitions: int) -> None:
    """Measure how often Holm's family of the three primary tests rejects exchangeable scores."""
    pieces = [
        {"scores": scores, "forget": n, "nonmembers": m}
        for scores, n, m in itertools.product(DRAWS, FORGET_COUNTS, NONMEMBER_COUNTS)
    ]
    settings = {"alpha": ALPHA, "tail_level": TAIL_LEVEL, "repetitions": repetitions, "seed": 0}

    def measured(piece: measure.Json) -> measure.Json:
        n, m = piece["forget"], piece["nonmembers"]
        rng = np.random.default_rng([0, DRAWS.index(piece["scores"]), n, m])
        found = [rejects(drawn(piece["scores"], n + m, rng), n) for _ in range(repetitions)]
        return results.rate(sum(found), repetitions)

    results.resume("null", settings, pieces, measured, folder)


def coverage(folder: Path, repetitions: int) -> None:
    """Measure how often the interval of the AUC covers the true one, of normal scores one of which is shifted."""
    pieces = [
        {"scores": scores, "forget": n, "area": area}
        for scores, n, area in itertools.product(("continuous", "tied"), COVERED_COUNTS, COVERED_AREAS)
    ]
    settings = {"confidence": CONFIDENCE, "nonmembers": COVERED_NONMEMBERS, "repetitions": repetitions, "seed": 0}

    def measured(piece: measure.Json) -> measure.Json:
        n, tied = piece["forget"], piece["scores"] == "tied"
        shift = math.sqrt(2.0) * float(stats.norm.ppf(piece["area"]))
        truth = rounded_area(shift) if tied else piece["area"]
        rng = np.random.default_rng([1, int(tied), n, round(100 * piece["area"])])
        covered = 0
        for _ in range(repetitions):
            scores = rng.normal(size=n + COVERED_NONMEMBERS)
            scores[:n] += shift
            result = auc_result(comparison(rounded(scores) if tied else scores, n), confidence=CONFIDENCE)
            covered += result.low is not None and result.high is not None and result.low <= truth <= result.high
        return {"truth": round(truth, 6), **results.rate(covered, repetitions)}

    results.resume("coverage", settings, pieces, measured, folder)


def drawn(kind: str, count: int, rng: np.random.Generator) -> Floats:
    """Return exchangeable scores."""
    match kind:
        case "continuous":
            return rng.normal(size=count)
        case "tied":
            return rounded(rng.normal(size=count))
        case "saturated":
            return np.where(rng.random(count) < SATURATED, 0.0, np.round(-rng.exponential(size=count), 3))
        case _:
            raise ValueError(kind)


def rejects(scores: Floats, forget_count: int) -> bool:
    """Return whether the primary tests tell the first scores from the others."""
    found = primary_results(comparison(scores, forget_count), level=TAIL_LEVEL, confidence=CONFIDENCE)
    adjusted = adjusted_of(found)
    if adjusted is None:
        raise RuntimeError("a primary test has no p-value")
    return min(adjusted) <= ALPHA


def comparison(scores: Floats, forget_count: int) -> Comparison:
    """Return the first scores against the others, each of a subject of its own."""
    subjects = np.arange(len(scores))
    return Comparison(
        role=Role.CANDIDATE,
        signal=Signal.PHI,
        forget=scores[:forget_count],
        others=scores[forget_count:],
        forget_subjects=subjects[:forget_count],
        other_subjects=subjects[forget_count:],
        seed=0,
    )


def rounded(scores: Floats) -> Floats:
    """Return scores with ties."""
    return np.round(scores / STEP) * STEP


def rounded_area(shift: float) -> float:
    """Return P(X > Y) + P(X = Y) / 2 of rounded normal scores, X shifted: exact up to 12 deviations."""
    grid = np.arange(-12.0, 12.0 + shift, STEP)
    shifted, plain = (
        stats.norm.cdf(grid + STEP / 2.0 - mean) - stats.norm.cdf(grid - STEP / 2.0 - mean) for mean in (shift, 0.0)
    )
    below = np.cumsum(plain) - plain
    return float((shifted * (below + plain / 2.0)).sum())
