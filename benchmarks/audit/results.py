"""Results of the parts: JSON files that are complete whenever a part is interrupted."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from statsmodels.stats.proportion import proportion_confint

from benchmarks import measure
from mcu_core.whole_files import write_whole

FOLDER = measure.RESULTS / "audit"
CONFIDENCE = 0.95
"""Of the binomial intervals."""


def read(name: str, folder: Path) -> measure.Json:
    """Return a result; empty where there is none yet."""
    path = folder / f"{name}.json"
    found: measure.Json = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(name: str, result: Mapping[str, Any], folder: Path) -> None:
    """Keep a result in place of an older one, with where it was measured last."""
    content = {"benchmark": f"audit.{name}", **result, "environment": measure.environment()}
    write_whole(folder / f"{name}.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def resume(
    name: str,
    settings: measure.Json,
    pieces: Sequence[measure.Json],
    measured: Callable[[measure.Json], measure.Json],
    folder: Path,
) -> None:
    """Measure the pieces that a result lacks, one after the other, and keep each at once.

    Args:
        name: of the result.
        settings: that all pieces share; pieces of a result with others are measured anew.
        pieces: by what tells them apart.
        measured: returns what is to be known of a piece.
        folder: of the results.
    """
    known = read(name, folder)
    rows: list[measure.Json] = known["rows"] if known.get("settings") == settings else []
    for index, piece in enumerate(pieces, start=1):
        if any(piece.items() <= row.items() for row in rows):
            continue
        rows.append({**piece, **measured(piece)})
        write(name, {"settings": settings, "rows": rows}, folder)
        print(f"{name}: {index} of {len(pieces)}: {rows[-1]}", flush=True)


def rate(count: int, total: int) -> measure.Json:
    """Return a share of repetitions with its Clopper-Pearson interval."""
    low, high = proportion_confint(count, total, alpha=1.0 - CONFIDENCE, method="beta")
    return {"count": count, "of": total, "share": count / total, "low": float(low), "high": float(high)}
