"""How the benchmarks measure: candidates in turn, process time, minimum and median, and where it was.

On a shared machine the times of two runs say nothing about each other. So candidates are called in turn, in an order
that rotates, within one process; what is stated are ratios of process times.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mcu_core.runtime import processor_name

CPU = torch.device("cpu")
RESULTS = Path(__file__).parent / "results"

Json = dict[str, Any]
"""A part of a result: what JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Of one candidate, over all rounds."""

    minimum_seconds: float
    """Process time of all threads."""
    median_seconds: float
    """Likewise."""
    minimum_wall_seconds: float
    rounds: int


def interleave(candidates: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 2) -> dict[str, Timing]:
    """Call every candidate once a round and time each call.

    Args:
        candidates: what to call, by name.
        rounds: that are timed.
        warm_up: rounds before them that are not.

    Returns:
        The timing of each.
    """
    names = list(candidates)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for index in range(warm_up + rounds):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            wall, process = time.perf_counter(), time.process_time()
            candidates[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times = time.process_time() - process, time.perf_counter() - wall
            if index >= warm_up:
                spent[name].append(times)
    return {
        name: Timing(
            minimum_seconds=min(process for process, _ in times),
            median_seconds=statistics.median(process for process, _ in times),
            minimum_wall_seconds=min(wall for _, wall in times),
            rounds=rounds,
        )
        for name, times in spent.items()
    }


def ratios(timings: Mapping[str, Timing], to: str) -> dict[str, dict[str, float]]:
    """Return by candidate its time over that of the candidate `to`, by minima and by medians."""
    base = timings[to]
    return {
        name: {
            "by_minimum": round(timing.minimum_seconds / base.minimum_seconds, 4),
            "by_median": round(timing.median_seconds / base.median_seconds, 4),
        }
        for name, timing in timings.items()
    }


def as_json(timings: Mapping[str, Timing]) -> dict[str, dict[str, float]]:
    return {name: asdict(timing) for name, timing in timings.items()}


def arguments(description: str, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser of the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to measure with")
    parser.add_argument("--rounds", type=int, default=rounds, help="timed calls of each candidate")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    return parser


def environment() -> dict[str, object]:
    """Return hardware and versions."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "processor": f"{processor_name(CPU)}, {os.cpu_count()} cores",
        "bfloat16": sorted(name for name in ("amx_bf16", "avx512_bf16") if capabilities.get(name)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(name: str, result: Mapping[str, object], folder: Path) -> None:
    """Write a result with its environment as JSON and print it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"benchmark": name, "environment": environment(), **result}, indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _commit() -> str:
    answer = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
