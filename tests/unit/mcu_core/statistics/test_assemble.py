import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcu_core.errors import DataError
from mcu_core.report.evidence import Evidence, Group, Result, Role
from mcu_core.report.plan import Signal
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import from_parquet, to_parquet
from tests.score_tables import Scene, plan_of, table_of

ROOT = Path(__file__).parents[4]
EVERYTHING = Scene(
    pre_unlearned=-1.0, forget=60, retain=120, test=150, calibration=300, evaluation=300, canaries=30,
    forgotten_before=15, references=True, samples_per_subject=2,
)  # fmt: skip
PLAIN = Scene(forget=60, retain=120, test=150, calibration=300, evaluation=300)


def evidence(scene: Scene) -> Evidence:
    return evidence_of(table_of(scene), plan_of(scene))


def every_result(found: Evidence) -> list[Result]:
    canaries = found.canaries
    return [
        *found.primary, *found.positive_control, *found.negative_control, found.blind_baseline, found.calibration,
        *found.secondary, found.relearned, *found.retained_exposure, found.version_pair,
        *([found.forgotten_before] if found.forgotten_before else []),
        *([canaries.original, canaries.candidate, canaries.one_run, canaries.one_run_original] if canaries else []),
    ]  # fmt: skip


@pytest.mark.parametrize("scene", [EVERYTHING, PLAIN, replace(PLAIN, forget=1), replace(PLAIN, forget=9)])
def test_every_number_is_there_or_says_why_not(scene: Scene) -> None:
    found = evidence(scene)
    assert Evidence.model_validate_json(found.model_dump_json()) == found
    for result in every_result(found):
        assert (result.value is None) == (result.not_estimable is not None), result
        assert (result.low is None) == (result.high is None) == (result.level is None), result
        assert result.p_value is None or 0.0 <= result.p_value <= 1.0
        assert bool(result.hypothesis) == (result.p_value is not None)


def test_models_come_with_the_original_first_and_the_candidate_last() -> None:
    assert [row.role for row in evidence(EVERYTHING).models] == [Role.ORIGINAL, Role.PRE_UNLEARNED, Role.CANDIDATE]
    assert [row.role for row in evidence(PLAIN).models] == [Role.ORIGINAL, Role.CANDIDATE]


def test_what_the_original_remembers_is_found_there_and_not_in_a_clean_candidate() -> None:
    found = evidence(replace(PLAIN, forget=150))
    assert all(result.role is Role.CANDIDATE for result in (*found.primary, *found.negative_control))
    assert found.positive_control[0].value is not None
    assert found.positive_control[0].value > 0.75
    assert min(result.p_value or 0.0 for result in found.primary) > 0.01


@pytest.mark.parametrize(("candidate", "tail"), [(3.0, 1), (-6.0, 2)])
def test_what_is_kept_and_what_is_over_forgotten_is_found_on_its_side(candidate: float, tail: int) -> None:
    found = evidence(replace(PLAIN, candidate=candidate, forget=150))
    p_values = [1.0 if result.p_value is None else result.p_value for result in found.primary]
    assert p_values[0] < 1e-6
    assert p_values[tail] < 1e-4
    assert p_values[3 - tail] > 0.5


def test_every_available_signal_is_reported_of_every_model() -> None:
    found = evidence(EVERYTHING)
    names = {
        "auc",
        "tpr.0.01",
        "tpr.0.001",
        *(f"tail.{side}.{level}" for side in ("upper", "lower") for level in (0.01, 0.05)),
    }
    reported = {(result.role, result.signal, result.name) for result in found.secondary}
    roles = (Role.ORIGINAL, Role.PRE_UNLEARNED, Role.CANDIDATE)
    assert reported == {(role, signal, name) for role in roles for signal in Signal for name in names}
    assert len(found.secondary) == len(reported)


def test_each_deleted_sample_has_its_p_values() -> None:
    found = evidence(PLAIN)
    assert len(found.individuals.p_high) == len(found.individuals.p_low) == len(found.individuals.p_two) == 60
    assert found.individuals.smallest == pytest.approx(min(1.0, 60 * min(found.individuals.p_two)))
    assert found.individuals.pooled == 0


def test_samples_of_a_class_without_calibration_samples_are_counted() -> None:
    table, plan = table_of(PLAIN), plan_of(PLAIN)
    gone = (table.group == Group.CALIBRATION.value) & (table.label == 3)
    table = replace(table, label=np.where(gone, 4, table.label))
    found = evidence_of(table, plan)
    assert found.individuals.pooled == int((table.label[table.rows(Group.FORGET)] == 3).sum()) > 0


def test_figures_have_their_data() -> None:
    figures = evidence(EVERYTHING).figures
    roles = [Role.ORIGINAL, Role.PRE_UNLEARNED, Role.CANDIDATE]
    assert [curve.role for curve in figures.roc] == roles
    assert {(histogram.role, histogram.group) for histogram in figures.histograms} == {
        (role, group) for role in roles for group in (Group.FORGET, Group.EVALUATION, Group.RETAIN)
    }
    assert len({histogram.edges for histogram in figures.histograms}) == 1
    assert len(figures.p_values) == EVERYTHING.evaluation
    assert sum(p <= 0.5 for p in figures.p_values) == pytest.approx(150, abs=45)


def test_a_plan_whose_signal_needs_references_is_refused_without_them() -> None:
    plan = plan_of(PLAIN).model_copy(update={"primary_signal": Signal.CALIBRATED})
    with pytest.raises(DataError, match="calibrated"):
        evidence_of(table_of(PLAIN), plan)


SCRIPT = """
import hashlib, sys
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import from_parquet
table, plan = (open(path, "rb").read() for path in sys.argv[1:])
found = evidence_of(from_parquet(table), AuditPlan.model_validate_json(plan))
assert "torch" not in sys.modules
print(hashlib.sha256(found.model_dump_json().encode()).hexdigest())
"""


def test_another_process_with_another_number_of_threads_finds_the_same_to_the_last_bit(tmp_path: Path) -> None:
    scene = replace(EVERYTHING, evaluation=2500, forget=400)
    table, plan = table_of(scene), plan_of(scene)
    (tmp_path / "scores.parquet").write_bytes(to_parquet(table))
    (tmp_path / "plan.json").write_bytes(plan.to_bytes())
    here = evidence_of(from_parquet(to_parquet(table)), plan).model_dump_json()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "scores.parquet"), str(tmp_path / "plan.json")]
    for threads in ("1", "3"):
        variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        environment = {**os.environ, **variables, "PYTHONHASHSEED": threads, "PYTHONPATH": str(ROOT)}
        output = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        assert output.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()
