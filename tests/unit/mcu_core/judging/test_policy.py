"""The policy as a file: what is in effect, and what its digest covers."""

from typing import Any

import pytest
from pydantic import ValidationError

from mcu_core.judging.policy import AuditPolicy
from tests.results import POLICY


@pytest.mark.parametrize("name", list(AuditPolicy.model_fields))
def test_every_threshold_changes_the_digest(name: str) -> None:
    other = {"version": "other", "margin_large_from": 7}.get(name, 0.123)

    assert POLICY.model_copy(update={name: other}).digest != POLICY.digest


@pytest.mark.parametrize("name", list(AuditPolicy.model_fields))
def test_no_threshold_has_a_default(name: str) -> None:
    without = {key: value for key, value in POLICY.model_dump().items() if key != name}

    with pytest.raises(ValidationError):
        AuditPolicy.model_validate(without)


@pytest.mark.parametrize(
    "update",
    [
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"alpha": float("nan")},
        {"alpha_decay": 1.5},
        {"control_alpha": 0.0},
        {"tail_level": 0.6},
        {"margin": 0.5},
        {"margin_large_from": 0},
        {"least_power": 0.5},
        {"test_accuracy_loss_margin": 3.0},
        {"unknown": 1},
    ],
)
def test_a_threshold_that_would_decide_nothing_is_refused(update: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditPolicy.model_validate(POLICY.model_dump() | update)


def test_the_levels_of_all_attempts_sum_to_less_than_twice_the_first() -> None:
    assert sum(POLICY.alpha_at(attempt) for attempt in range(100)) <= 2 * POLICY.alpha
