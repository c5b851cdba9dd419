"""The page of what the audit can see says what the results beside it say, by today's code."""

import json
from pathlib import Path

import pytest

from benchmarks.audit import page, results
from mcu_core.report.judgement import ReasonCode, Verdict

RESULTS = sorted(results.FOLDER.glob("*.json"))


def test_the_page_comes_out_of_the_results() -> None:
    assert (results.FOLDER / "audit.md").read_text(encoding="utf-8") == page.page(results.FOLDER)


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_every_result_says_what_it_is_and_where_it_was_measured(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["benchmark"] == f"audit.{path.stem}"
    assert {"processor", "torch", "commit"} <= found["environment"].keys()


def test_verdicts_and_reasons_are_those_of_the_gate() -> None:
    rows = [
        row
        for path in RESULTS
        if path.stem.startswith(("power-", "augmented-"))
        for candidate in json.loads(path.read_text(encoding="utf-8"))["candidates"].values()
        for row in candidate["rows"]
    ]
    assert {row["verdict"] for row in rows} <= set(Verdict)
    assert {code for row in rows for code in row["reasons"]} <= set(ReasonCode)
