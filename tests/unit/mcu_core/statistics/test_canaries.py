import pytest

from mcu_core.report.evidence import CanaryEvidence, Role
from mcu_core.statistics.canaries import canary_evidence
from tests.score_tables import Scene, plan_of, table_of


def evidence(scene: Scene) -> CanaryEvidence:
    found = canary_evidence(table_of(scene), plan_of(scene))
    assert found is not None
    return found


def test_canaries_show_what_the_original_remembers_and_the_candidate_forgot() -> None:
    found = evidence(Scene(original=4.0, canaries=120, forget=1))
    assert (found.original.role, found.candidate.role) == (Role.ORIGINAL, Role.CANDIDATE)
    assert found.original.p_value is not None
    assert found.original.p_value < 1e-6
    assert found.one_run_original.p_value is not None
    assert found.one_run_original.p_value < 1e-6
    assert found.candidate.p_value is not None
    assert found.candidate.p_value > 0.01
    assert found.one_run.p_value is not None
    assert found.one_run.p_value > 0.01


def test_over_forgotten_canaries_are_seen_two_sided() -> None:
    found = evidence(Scene(candidate=-4.0, canaries=120))
    assert found.candidate.value is not None
    assert found.candidate.value < 0.2
    assert found.candidate.p_value is not None
    assert found.candidate.p_value < 1e-6
    assert found.one_run.p_value == pytest.approx(1.0, abs=1e-3)


def test_too_few_canaries_to_guess_any_say_so() -> None:
    found = evidence(Scene(canaries=3, seed=2))
    assert found.one_run.value is None
    assert found.one_run.not_estimable is not None
    assert found.candidate.value is not None


def test_without_canaries_there_is_no_evidence_of_them() -> None:
    assert canary_evidence(table_of(Scene()), plan_of(Scene())) is None
