"""Closed sets of the domain and of the contract are the same sets."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, get_args

import pytest
from google.protobuf.descriptor import EnumDescriptor

from mcu_core.config import Rung, Schedule
from mcu_core.report import Claim, Verdict
from service.domain.deadline import Regime, SlaState
from service.domain.hold import HoldState, HoldTreatment
from service.domain.ledger import LedgerKind
from service.domain.run import RunPhase
from service.domain.serving import ServingDecision
from service.domain.ticket import IdSource, TicketState
from service.pb.unlearning.v1 import hold_pb2, ledger_pb2, model_pb2, model_service_pb2, run_pb2, ticket_pb2
from service.rpc.convert import enums

TABLES = [
    (Regime, enums.REGIMES, ticket_pb2.DESCRIPTOR.enum_types_by_name["Regime"]),
    (TicketState, enums.TICKET_STATES, ticket_pb2.DESCRIPTOR.enum_types_by_name["TicketState"]),
    (SlaState, enums.SLA_STATES, ticket_pb2.DESCRIPTOR.enum_types_by_name["SlaState"]),
    (IdSource, enums.SAMPLE_SOURCES, ticket_pb2.DESCRIPTOR.enum_types_by_name["SampleSource"]),
    (HoldState, enums.HOLD_STATES, hold_pb2.DESCRIPTOR.enum_types_by_name["HoldState"]),
    (HoldTreatment, enums.HOLD_TREATMENTS, hold_pb2.DESCRIPTOR.enum_types_by_name["HoldTreatment"]),
    (LedgerKind, enums.LEDGER_KINDS, ledger_pb2.DESCRIPTOR.enum_types_by_name["LedgerEntryKind"]),
    (RunPhase, enums.RUN_PHASES, run_pb2.DESCRIPTOR.enum_types_by_name["RunPhase"]),
    (Verdict, enums.VERDICTS, run_pb2.DESCRIPTOR.enum_types_by_name["Verdict"]),
    (Claim, enums.CLAIMS, run_pb2.DESCRIPTOR.enum_types_by_name["Claim"]),
    (
        ServingDecision,
        enums.SERVING_DECISIONS,
        model_service_pb2.DESCRIPTOR.enum_types_by_name["ServingDecision"],
    ),
    (Schedule, enums.SCHEDULES, model_pb2.DESCRIPTOR.enum_types_by_name["LearningRateSchedule"]),
]


@pytest.mark.parametrize(("kind", "table", "descriptor"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_value_has_its_namesake(
    kind: type[StrEnum], table: Mapping[Any, int], descriptor: EnumDescriptor
) -> None:
    names = {member: descriptor.values_by_number[table[member]].name for member in kind}

    assert all(name.endswith(f"_{member.name}") for member, name in names.items())
    assert {*table.values(), 0} == set(descriptor.values_by_number)


def test_every_rung_of_the_ladder_has_its_number() -> None:
    union, *_ = get_args(Rung)
    kinds = {rung.model_fields["kind"].default for rung in get_args(union)}
    numbers = run_pb2.DESCRIPTOR.enum_types_by_name["RungKind"].values_by_number

    assert kinds == set(enums.RUNG_KINDS)
    assert {*enums.RUNG_KINDS.values(), 0} == set(numbers)
