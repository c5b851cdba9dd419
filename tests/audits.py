"""Plans and outcomes of audits on the tiny problem."""

from mcu_core.config import McuRung
from mcu_core.report import ModelName, References
from mcu_core.report.plan import AuditPlan, Signal
from mcu_core.types import Candidate, Outcome, State
from tests.cases import FORGET, METHODS, tiny_curve, tiny_selection

RUNG = McuRung(pre_unlearning=METHODS[0].config, curve=tiny_curve(), selection=tiny_selection())
STARTED_AT = 1_790_000_000_000_000


def plan_of(**changes: object) -> AuditPlan:
    """Return the plan of an audit of the tiny problem."""
    plan = AuditPlan(
        run_id="run-1",
        lineage="tiny",
        attempt=1,
        rung=0,
        audits_before=0,
        base_model="0" * 64,
        manifest="1" * 64,
        resolution="2" * 64,
        policy="3" * 64,
        spec="4" * 64,
        forget_count=FORGET,
        forget_root="5" * 64,
        split_commitment="6" * 64,
        primary_signal=Signal.PHI,
        seed=11,
        tail_level=0.05,
        confidence=0.95,
        retain_images=30,
        svc_samples=20,
        created_at=STARTED_AT - 1,
    )
    return plan.model_copy(update=changes)


def retrained_as(state: State) -> Outcome:
    """Return the outcome of a retraining that made the state."""
    return Outcome(
        name=ModelName.RETRAINED,
        candidate=Candidate(t=None, state=state),
        references=References(train_accuracy=1.0, validation_accuracy=0.9),
        seconds={"retrain": 3.0},
    )
