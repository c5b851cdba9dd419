"""Runs: what their specification binds, what survives JSON, and in which order phases follow."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcu_core.config import UnlearningConfig, default_ladder
from mcu_core.report import Verdict
from service.domain.run import (
    CLOSED_PHASES,
    EXIT_CODES,
    PHASE_ORDER,
    FailureKind,
    Outcome,
    RunCanaries,
    RunPhase,
    RunSpec,
    WorkOrder,
    attempt_prefix,
    enter,
    resolution_key,
    spec_key,
)
from tests.records import ARCHITECTURE, NOW, SPEC, a_run, an_attempt, an_order_for, digest_of
from tests.results import POLICY

OTHER_VALUES: dict[str, Any] = {
    "lineage": "other",
    "sequence": 2,
    "base_release": 2,
    "base_model_digest": digest_of("other"),
    "architecture": ARCHITECTURE.model_copy(update={"classes": 11}),
    "baseline_train_accuracy": 0.5,
    "manifest_digest": digest_of("other"),
    "resolution_digest": digest_of("other"),
    "forget_count": 4,
    "config": UnlearningConfig(ladder=default_ladder(None)),
    "policy": POLICY.model_copy(update={"alpha": 0.04}),
    "seed": 2,
    "audit_family": digest_of("auditors"),
    "teach_family": digest_of("teachers"),
    "canaries": RunCanaries(included=2, excluded=2, wanted=64, commitment=digest_of("coins"), mislabelled=True),
    "holds": ("hld-1",),
}


def test_the_specification_has_no_field_that_the_next_test_forgets() -> None:
    assert OTHER_VALUES.keys() | {"schema_version"} == RunSpec.model_fields.keys()


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_the_runs_id_binds_every_field_of_its_specification(field: str) -> None:
    other = SPEC.model_copy(update={field: OTHER_VALUES[field]})

    assert other.digest != SPEC.digest
    assert other.run_id != SPEC.run_id


def test_without_canaries_a_specification_is_what_it_was_before_there_were_any() -> None:
    assert "canaries" not in SPEC.to_bytes().decode()
    assert RunSpec.model_validate_json(SPEC.to_bytes()).canaries is None


def test_without_holds_a_specification_is_what_it_was_before_there_were_any() -> None:
    held = SPEC.model_copy(update={"holds": ("hld-1", "hld-2")})

    assert "holds" not in SPEC.to_bytes().decode()
    assert RunSpec.model_validate_json(SPEC.to_bytes()).holds == ()
    assert RunSpec.model_validate_json(held.to_bytes()) == held


def test_canaries_count_towards_what_is_unlearned_and_not_towards_what_was_asked_for() -> None:
    spec = SPEC.model_copy(update={"canaries": OTHER_VALUES["canaries"]})

    assert (spec.forget_count, spec.unlearned_count, SPEC.unlearned_count) == (3, 5, 3)
    assert RunSpec.model_validate_json(spec.to_bytes()) == spec


def test_equal_specifications_are_the_same_run() -> None:
    assert RunSpec.model_validate(SPEC.model_dump()).run_id == SPEC.run_id


def test_a_specification_survives_json() -> None:
    again = RunSpec.model_validate_json(SPEC.to_bytes())

    assert again == SPEC
    assert again.to_bytes() == SPEC.to_bytes()


def test_the_runs_id_is_the_same_in_another_process() -> None:
    program = "from tests.records import SPEC; print(SPEC.run_id)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert answer.stdout.strip() == SPEC.run_id


@given(st.floats(0.001, 0.499), st.floats(0.001, 1.0), st.integers(0, 2**53 - 1))
def test_any_numbers_in_a_specification_survive_json(alpha: float, decay: float, seed: int) -> None:
    policy = POLICY.model_copy(update={"alpha": alpha, "alpha_decay": decay})
    spec = SPEC.model_copy(update={"policy": policy, "seed": seed, "baseline_train_accuracy": alpha})

    assert RunSpec.model_validate_json(spec.to_bytes()) == spec


ORDER = an_order_for(replace(a_run(), epoch=3, rung_index=1, pathway_epoch=2, attempts=(an_attempt(2),)))


def test_an_order_survives_json() -> None:
    again = WorkOrder.model_validate_json(ORDER.to_bytes())

    assert again == ORDER
    assert again.to_bytes() == ORDER.to_bytes()
    assert again.rung == SPEC.config.ladder[1]
    assert again.prefix == f"runs/{ORDER.run_id}/attempts/0003"


@pytest.mark.parametrize(
    "change", [{"epoch": 0}, {"rung_index": -1}, {"split_key": "short"}, {"surprise": 1}, {"schema_version": 2}]
)
def test_an_order_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WorkOrder.model_validate({**ORDER.model_dump(), **change})


def test_an_outcome_survives_json() -> None:
    for outcome in (
        Outcome(candidate_digest=digest_of("c"), report_digest=digest_of("r")),
        Outcome(failure=FailureKind.QUALITY, message="the loss is not finite"),
    ):
        assert Outcome.model_validate_json(outcome.to_bytes()) == outcome


def test_every_kind_of_failure_has_an_exit_code_of_its_own() -> None:
    assert EXIT_CODES.keys() == set(FailureKind)
    assert len(set(EXIT_CODES.values())) == len(FailureKind)
    assert all(0 < code < 126 for code in EXIT_CODES.values()), "shells and signals use the rest"


@pytest.mark.parametrize(("before", "after"), list(product(RunPhase, RunPhase)))
def test_a_phase_follows_only_as_its_order_says(before: RunPhase, after: RunPhase) -> None:
    run = replace(a_run(), phase=before)
    later = NOW + timedelta(seconds=5)

    if after in PHASE_ORDER[before]:
        entered = enter(run, after, later)
        assert (entered.phase, entered.phase_since) == (after, later)
        assert entered.closed_at == (later if after in CLOSED_PHASES else None)
        assert entered.is_active == (after not in CLOSED_PHASES)
    else:
        with pytest.raises(RuntimeError, match=f"{after.value} may not follow {before.value}"):
            enter(run, after, later)


def test_a_closed_phase_is_final_and_every_other_one_can_fail() -> None:
    for phase in RunPhase:
        if phase in CLOSED_PHASES:
            assert not PHASE_ORDER[phase]
        else:
            assert PHASE_ORDER[phase] >= {RunPhase.FAILED, RunPhase.ABANDONED}


def test_each_attempt_has_a_job_and_a_folder_of_its_own() -> None:
    runs = [replace(a_run(), epoch=epoch) for epoch in (1, 2, 11, 111)]

    assert len({run.job_name for run in runs}) == len(runs)
    prefixes = [attempt_prefix(run.run_id, run.epoch) for run in runs]
    assert prefixes == sorted(prefixes)
    assert len(set(prefixes)) == len(prefixes)
    assert {spec_key(runs[0].run_id), resolution_key(runs[0].run_id)}.isdisjoint(prefixes)


def test_a_job_name_fits_into_a_kubernetes_label() -> None:
    assert len(replace(a_run(), epoch=9999).job_name) <= 63


def test_a_verdict_is_kept_with_its_attempt() -> None:
    assert an_attempt(1, verdict=Verdict.ACCEPT_POWERED).model_dump(mode="json")["verdict"] == "ACCEPT_POWERED"
