"""The shipped thresholds: they load, and they are what the design says."""

from importlib import resources

import pytest
import yaml

from mcu_core.judging.decide import decide
from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.judgement import Verdict
from tests.evidence import a_plan, an_evidence


@pytest.fixture(scope="module")
def shipped() -> AuditPolicy:
    text = (resources.files("service") / "policy.yaml").read_text(encoding="utf-8")
    return AuditPolicy.model_validate(yaml.safe_load(text))


def test_the_shipped_thresholds_are_those_of_the_design(shipped: AuditPolicy) -> None:
    assert shipped == AuditPolicy(
        version="2026-12",
        alpha=0.05,
        alpha_decay=0.5,
        control_alpha=0.001,
        tail_level=0.01,
        margin=0.10,
        margin_large=0.05,
        margin_large_from=400,
        margin_share_of_original=0.5,
        least_power=0.9,
        canary_margin_share=0.5,
        test_accuracy_loss_margin=0.03,
        retain_accuracy_loss_margin=0.02,
        retained_exposure_margin=0.05,
    )


def test_a_clean_candidate_is_accepted_under_the_shipped_thresholds(shipped: AuditPolicy) -> None:
    plan = a_plan(policy=shipped)

    assert decide(an_evidence(plan), plan, shipped).verdict is Verdict.ACCEPT_POWERED
