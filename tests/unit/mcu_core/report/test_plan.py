"""The plan's bytes, which its digest and its signature are of."""

import json

from mcu_core.report.plan import AuditPlan, CanaryPlan
from tests.evidence import a_plan
from tests.results import CANARY_PLAN


def test_what_an_older_plan_did_not_say_is_not_in_its_bytes() -> None:
    older = a_plan(canaries=CANARY_PLAN)

    assert CANARY_PLAN.wanted is None
    assert json.loads(older.to_bytes())["canaries"].keys() == {"included", "excluded", "coin_commitment"}
    assert AuditPlan.model_validate_json(older.to_bytes()).digest == older.digest


def test_how_many_canaries_were_wanted_is_bound_by_the_digest() -> None:
    plans = [a_plan(canaries=CANARY_PLAN.model_copy(update={"wanted": wanted})) for wanted in (None, 64, 128)]

    assert len({plan.digest for plan in plans}) == 3
    assert [AuditPlan.model_validate_json(plan.to_bytes()) for plan in plans] == plans
    assert CanaryPlan.model_validate({**CANARY_PLAN.model_dump(), "wanted": 64}).wanted == 64
