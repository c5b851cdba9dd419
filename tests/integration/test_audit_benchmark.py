"""The benchmark of the audit runs, at the smallest size; what it finds is no matter of tests."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.audit import null, page, power, pseudo, results, timing
from benchmarks.audit.candidates import Offered
from benchmarks.audit.reduced import reduced
from benchmarks.audit.setting import Bench, shipped_policy
from benchmarks.measure import CPU
from mcu_core.experiments.cells import OriginalCell
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.store import CellStore
from mcu_core.report.evidence import Group
from mcu_core.report.plan import Signal
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import to_parquet
from service.worker.research import ResearchData
from tests.cases import TINY
from tests.score_tables import Scene, plan_of, table_of
from tests.studies import tiny_samples, tiny_study

SCENE = Scene(forget=50, retain=60, test=80, calibration=80, evaluation=80, references=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    samples, store = tiny_samples(), CellStore(tmp_path / "store")
    return Bench(
        data=ResearchData(samples=samples, architecture=TINY),
        study=tiny_study().model_copy(update={"folds": 2}),
        store=store,
        laboratory=Laboratory(samples, store, device=CPU),
        policy=shipped_policy(),
    )


def audit(bench: Bench, folder: Path, *, train: bool) -> None:
    offers = (Offered.ORIGINAL, Offered.RETRAINED)
    scores = folder / "scores"
    power.audit_seed(bench, 0, offers, name="power-0", scores=scores, folder=folder, train=train)


def test_it_tells_its_parts() -> None:
    command = [sys.executable, "-m", "benchmarks.audit", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(part in told for part in ("null", "power", "augmented", "pseudo", "time", "page"))


def test_the_null_goes_on_where_it_was_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    null.rejections(tmp_path, 2)
    kept = results.read("null", tmp_path)
    assert len(kept["rows"]) == len(null.DRAWS) * len(null.FORGET_COUNTS) * len(null.NONMEMBER_COUNTS)
    results.write("null", {**kept, "rows": kept["rows"][1:]}, tmp_path)
    capsys.readouterr()
    null.rejections(tmp_path, 2)
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert sorted(map(str, results.read("null", tmp_path)["rows"])) == sorted(map(str, kept["rows"]))


def test_the_area_of_rounded_scores_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(0)
    shifted, plain = null.rounded(rng.normal(1.0, 1.0, 400_000)), null.rounded(rng.normal(0.0, 1.0, 400_000))
    found = (shifted > plain).mean() + (shifted == plain).mean() / 2.0
    assert null.rounded_area(1.0) == pytest.approx(found, abs=3e-3)  # four deviations


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_part_of_a_deletion_is_audited_as_if_it_were_all(calibrated: bool) -> None:
    table, plan = reduced(table_of(SCENE), plan_of(SCENE), forget_count=12, number=0, calibrated=calibrated)
    evidence = evidence_of(table, plan)
    assert len(table.rows(Group.FORGET)) == plan.forget_count == evidence.primary[0].forget_count == 12
    assert evidence.primary[0].signal is (Signal.CALIBRATED if calibrated else Signal.PHI)
    assert evidence.facts.plan == plan.digest
    assert len(table.rows(Group.EVALUATION)) == SCENE.evaluation


def test_two_parts_of_a_deletion_differ() -> None:
    first, second = (
        reduced(table_of(SCENE), plan_of(SCENE), forget_count=12, number=number, calibrated=False)[0]
        for number in (0, 1)
    )
    assert first.label.tolist() != second.label.tolist()


def test_models_are_trained_audited_and_told_of(bench: Bench, tmp_path: Path) -> None:
    audit(bench, tmp_path, train=True)
    found = results.read("power-0", tmp_path)["candidates"]
    assert found.keys() == {"original", "retrained"}
    for candidate in found.values():
        assert {row["signal"] for row in candidate["rows"]} == {"phi", "calibrated"}
    assert "retrained" in page.page(tmp_path)


def test_what_is_not_trained_yet_is_waited_for(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit(bench, tmp_path, train=False)
    assert not list(tmp_path.glob("*.json"))
    bench.laboratory.record(OriginalCell(world=bench.world(0)))
    audit(bench, tmp_path, train=False)
    found = results.read("power-0", tmp_path)["candidates"]
    assert found.keys() == {"original"}
    assert {row["signal"] for row in found["original"]["rows"]} == {"phi"}
    assert "retrained waits" in capsys.readouterr().out


def test_unseen_samples_of_kept_scores_are_dealt_anew(tmp_path: Path) -> None:
    (tmp_path / "power-0-retrained.parquet").write_bytes(to_parquet(table_of(SCENE)))
    pseudo.rejections(tmp_path, tmp_path, 2)
    rows = results.read("pseudo", tmp_path)["rows"]
    assert {(row["signal"], row["forget"]) for row in rows} == {
        (signal, n) for signal in ("phi", "calibrated") for n in null.FORGET_COUNTS
    }


def test_everything_after_the_scores_is_timed() -> None:
    found = timing.after_score("preresnet8", rounds=1, parts=(40, 120, 4, 60, 60, 60))
    assert found["timings"].keys() == {"read", "stats", "gate", "json", "html"}
    json.dumps(found)
