"""Closed sets of the domain and their numbers in the contract. A test proves each table complete."""

from collections.abc import Mapping
from types import MappingProxyType

from mcu_core.config import Schedule
from mcu_core.report import Claim, Verdict
from service.domain.deadline import Regime, SlaState
from service.domain.hold import HoldState, HoldTreatment
from service.domain.ledger import LedgerKind
from service.domain.run import RunPhase
from service.domain.serving import ServingDecision
from service.domain.ticket import IdSource, TicketState
from service.pb.unlearning.v1 import hold_pb2, ledger_pb2, model_pb2, model_service_pb2, run_pb2, ticket_pb2

REGIMES: Mapping[Regime, ticket_pb2.Regime.ValueType] = MappingProxyType(
    {Regime.GDPR: ticket_pb2.REGIME_GDPR, Regime.CCPA: ticket_pb2.REGIME_CCPA}
)

TICKET_STATES: Mapping[TicketState, ticket_pb2.TicketState.ValueType] = MappingProxyType(
    {
        TicketState.ACCEPTED: ticket_pb2.TICKET_STATE_ACCEPTED,
        TicketState.ON_HOLD: ticket_pb2.TICKET_STATE_ON_HOLD,
        TicketState.SCHEDULED: ticket_pb2.TICKET_STATE_SCHEDULED,
        TicketState.PROCESSING: ticket_pb2.TICKET_STATE_PROCESSING,
        TicketState.PUBLISHED: ticket_pb2.TICKET_STATE_PUBLISHED,
        TicketState.NEEDS_ATTENTION: ticket_pb2.TICKET_STATE_NEEDS_ATTENTION,
        TicketState.SUCCEEDED: ticket_pb2.TICKET_STATE_SUCCEEDED,
        TicketState.REJECTED: ticket_pb2.TICKET_STATE_REJECTED,
        TicketState.CANCELLED: ticket_pb2.TICKET_STATE_CANCELLED,
    }
)

SLA_STATES: Mapping[SlaState, ticket_pb2.SlaState.ValueType] = MappingProxyType(
    {
        SlaState.ON_TRACK: ticket_pb2.SLA_STATE_ON_TRACK,
        SlaState.DUE_SOON: ticket_pb2.SLA_STATE_DUE_SOON,
        SlaState.OVERDUE: ticket_pb2.SLA_STATE_OVERDUE,
        SlaState.MET: ticket_pb2.SLA_STATE_MET,
        SlaState.MISSED: ticket_pb2.SLA_STATE_MISSED,
    }
)

SAMPLE_SOURCES: Mapping[IdSource, ticket_pb2.SampleSource.ValueType] = MappingProxyType(
    {
        IdSource.INLINE: ticket_pb2.SAMPLE_SOURCE_INLINE,
        IdSource.UPLOAD: ticket_pb2.SAMPLE_SOURCE_UPLOAD,
        IdSource.OBJECT: ticket_pb2.SAMPLE_SOURCE_OBJECT,
        IdSource.SUBJECTS: ticket_pb2.SAMPLE_SOURCE_SUBJECTS,
        IdSource.LABEL: ticket_pb2.SAMPLE_SOURCE_LABEL,
    }
)

HOLD_TREATMENTS: Mapping[HoldTreatment, hold_pb2.HoldTreatment.ValueType] = MappingProxyType(
    {
        HoldTreatment.RESTRICT: hold_pb2.HOLD_TREATMENT_RESTRICT,
        HoldTreatment.RETAIN: hold_pb2.HOLD_TREATMENT_RETAIN,
    }
)

HOLD_STATES: Mapping[HoldState, hold_pb2.HoldState.ValueType] = MappingProxyType(
    {HoldState.ACTIVE: hold_pb2.HOLD_STATE_ACTIVE, HoldState.RELEASED: hold_pb2.HOLD_STATE_RELEASED}
)

LEDGER_KINDS: Mapping[LedgerKind, ledger_pb2.LedgerEntryKind.ValueType] = MappingProxyType(
    {
        LedgerKind.MODEL_REGISTERED: ledger_pb2.LEDGER_ENTRY_KIND_MODEL_REGISTERED,
        LedgerKind.TICKET_SUBMITTED: ledger_pb2.LEDGER_ENTRY_KIND_TICKET_SUBMITTED,
        LedgerKind.TICKET_CHANGED: ledger_pb2.LEDGER_ENTRY_KIND_TICKET_CHANGED,
        LedgerKind.TICKET_EXTENDED: ledger_pb2.LEDGER_ENTRY_KIND_TICKET_EXTENDED,
        LedgerKind.RUN_CREATED: ledger_pb2.LEDGER_ENTRY_KIND_RUN_CREATED,
        LedgerKind.RUN_CHANGED: ledger_pb2.LEDGER_ENTRY_KIND_RUN_CHANGED,
        LedgerKind.VERDICT: ledger_pb2.LEDGER_ENTRY_KIND_VERDICT,
        LedgerKind.RELEASED: ledger_pb2.LEDGER_ENTRY_KIND_RELEASED,
        LedgerKind.AUDIT_PLANNED: ledger_pb2.LEDGER_ENTRY_KIND_AUDIT_PLANNED,
        LedgerKind.REFERENCES_REGISTERED: ledger_pb2.LEDGER_ENTRY_KIND_REFERENCES_REGISTERED,
        LedgerKind.REFERENCES_TAINTED: ledger_pb2.LEDGER_ENTRY_KIND_REFERENCES_TAINTED,
        LedgerKind.REFERENCES_PURGED: ledger_pb2.LEDGER_ENTRY_KIND_REFERENCES_PURGED,
        LedgerKind.RUN_ORDERED: ledger_pb2.LEDGER_ENTRY_KIND_RUN_ORDERED,
        LedgerKind.HOLD_PLACED: ledger_pb2.LEDGER_ENTRY_KIND_HOLD_PLACED,
        LedgerKind.HOLD_RELEASED: ledger_pb2.LEDGER_ENTRY_KIND_HOLD_RELEASED,
        LedgerKind.DEPLOYED: ledger_pb2.LEDGER_ENTRY_KIND_DEPLOYED,
        LedgerKind.POINTER_RESTORED: ledger_pb2.LEDGER_ENTRY_KIND_POINTER_RESTORED,
        LedgerKind.PURGE_SCHEDULED: ledger_pb2.LEDGER_ENTRY_KIND_PURGE_SCHEDULED,
        LedgerKind.PURGED: ledger_pb2.LEDGER_ENTRY_KIND_PURGED,
    }
)

RUN_PHASES: Mapping[RunPhase, run_pb2.RunPhase.ValueType] = MappingProxyType(
    {
        RunPhase.PENDING: run_pb2.RUN_PHASE_PENDING,
        RunPhase.RESOLVING: run_pb2.RUN_PHASE_RESOLVING,
        RunPhase.UNLEARNING: run_pb2.RUN_PHASE_UNLEARNING,
        RunPhase.AUDITING: run_pb2.RUN_PHASE_AUDITING,
        RunPhase.PUBLISHING: run_pb2.RUN_PHASE_PUBLISHING,
        RunPhase.COMMITTED: run_pb2.RUN_PHASE_COMMITTED,
        RunPhase.FAILED: run_pb2.RUN_PHASE_FAILED,
        RunPhase.ABANDONED: run_pb2.RUN_PHASE_ABANDONED,
    }
)

RUNG_KINDS: Mapping[str, run_pb2.RungKind.ValueType] = MappingProxyType(
    {
        "mcu": run_pb2.RUNG_KIND_MCU,
        "another_point": run_pb2.RUNG_KIND_ANOTHER_POINT,
        "retrain": run_pb2.RUNG_KIND_RETRAIN,
        "method": run_pb2.RUNG_KIND_METHOD,
    }
)
"""By the `kind` of `mcu_core.config.Rung`."""

VERDICTS: Mapping[Verdict, run_pb2.Verdict.ValueType] = MappingProxyType(
    {
        Verdict.ACCEPT_POWERED: run_pb2.VERDICT_ACCEPT_POWERED,
        Verdict.ACCEPT_CANARY_BACKED: run_pb2.VERDICT_ACCEPT_CANARY_BACKED,
        Verdict.NEEDS_REVIEW: run_pb2.VERDICT_NEEDS_REVIEW,
        Verdict.REJECT: run_pb2.VERDICT_REJECT,
        Verdict.VACUOUS: run_pb2.VERDICT_VACUOUS,
        Verdict.INVALID: run_pb2.VERDICT_INVALID,
    }
)

CLAIMS: Mapping[Claim, run_pb2.Claim.ValueType] = MappingProxyType(
    {
        Claim.NOTHING: run_pb2.CLAIM_NOTHING,
        Claim.INDIVIDUAL_NOT_EXTREME: run_pb2.CLAIM_INDIVIDUAL_NOT_EXTREME,
        Claim.NO_GROSS_RETENTION_DETECTED: run_pb2.CLAIM_NO_GROSS_RETENTION_DETECTED,
        Claim.EQUIVALENT_WITHIN: run_pb2.CLAIM_EQUIVALENT_WITHIN,
    }
)

SERVING_DECISIONS: Mapping[ServingDecision, model_service_pb2.ServingDecision.ValueType] = MappingProxyType(
    {
        ServingDecision.ALLOWED: model_service_pb2.SERVING_DECISION_ALLOWED,
        ServingDecision.RESURRECTS_FORGOTTEN_SAMPLES: model_service_pb2.SERVING_DECISION_RESURRECTS_FORGOTTEN_SAMPLES,
        ServingDecision.UNKNOWN_WEIGHTS: model_service_pb2.SERVING_DECISION_UNKNOWN_WEIGHTS,
    }
)

SCHEDULES: Mapping[Schedule, model_pb2.LearningRateSchedule.ValueType] = MappingProxyType(
    {
        Schedule.CONSTANT: model_pb2.LEARNING_RATE_SCHEDULE_CONSTANT,
        Schedule.COSINE: model_pb2.LEARNING_RATE_SCHEDULE_COSINE,
        Schedule.ONE_CYCLE: model_pb2.LEARNING_RATE_SCHEDULE_ONE_CYCLE,
    }
)
