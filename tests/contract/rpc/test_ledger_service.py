"""LedgerService as callers see it."""

from dataclasses import replace

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed

from service.domain.checkpoint import Checkpoint
from service.domain.ledger import LedgerEntry, LedgerKind, chain, verify_chain
from service.pb.unlearning.v1 import ledger_pb2
from service.pb.unlearning.v1.ledger_service_pb2 import GetCheckpointRequest, ListEntriesRequest
from service.rpc.convert.ledger import record_of
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api
from tests.contract.rpc.records import NOW
from tests.records import a_draft

KINDS = tuple(LedgerKind)


@pytest.fixture
def entries(api: Api) -> list[LedgerEntry]:
    found: list[LedgerEntry] = []
    for number in range(25):
        draft = replace(a_draft(number % 4), kind=KINDS[number % len(KINDS)])
        found.append(chain(draft, found[-1] if found else None))
    api.application.entries = found
    return found


def pages(api: Api, request: ListEntriesRequest) -> list[list[ledger_pb2.LedgerEntry]]:
    found = []
    while True:
        page = api.ledger.ListEntries(request)
        found.append(list(page.entries))
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def test_the_pages_are_the_whole_chain_and_a_reader_can_verify_it(api: Api, entries: list[LedgerEntry]) -> None:
    found = pages(api, ListEntriesRequest(page_size=10))
    records = [record_of(entry) for page in found for entry in page]

    assert [len(page) for page in found] == [10, 10, 5]
    assert records == entries
    assert verify_chain(records) == 25


def test_entries_are_filtered_by_subject_kind_and_place(api: Api, entries: list[LedgerEntry]) -> None:
    subject, kinds = entries[1].subject, {entries[1].kind, entries[5].kind}
    numbers = [ledger_pb2.LedgerEntryKind.Value(f"LEDGER_ENTRY_KIND_{kind.name}") for kind in kinds]
    request = ListEntriesRequest(page_size=1, subject=subject, kinds=numbers, after_sequence=3)
    expected = [
        entry.sequence for entry in entries if entry.subject == subject and entry.kind in kinds and entry.sequence > 3
    ]

    assert expected
    assert [entry.sequence for page in pages(api, request) for entry in page] == expected


def test_a_page_token_belongs_to_its_filters(api: Api, entries: list[LedgerEntry]) -> None:
    token = api.ledger.ListEntries(ListEntriesRequest(page_size=2)).next_page_token
    request = ListEntriesRequest(page_size=2, page_token=token, subject=entries[0].subject)

    assert refusal_of(lambda: api.ledger.ListEntries(request)).fields() == ["page_token"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListEntriesRequest(page_size=-1), "page_size"),
        (ListEntriesRequest(after_sequence=-1), "after_sequence"),
        (ListEntriesRequest(kinds=[ledger_pb2.LEDGER_ENTRY_KIND_UNSPECIFIED]), "kinds[0]"),
        (ListEntriesRequest(subject="s" * 129), "subject"),
        (ListEntriesRequest(page_token="rubbish"), "page_token"),
    ],
)
def test_a_request_that_breaks_the_contract_names_its_field(api: Api, request_: ListEntriesRequest, field: str) -> None:
    refusal = refusal_of(lambda: api.ledger.ListEntries(request_))

    assert (refusal.code, refusal.fields()) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_a_checkpoint_is_returned_by_number_and_0_is_the_newest(api: Api) -> None:
    api.application.checkpoints = [
        Checkpoint(number=number, sequence=number * 10, digest="a" * 64, signed_at=NOW, envelope=b"signed")
        for number in (1, 2, 3)
    ]

    answers = [api.ledger.GetCheckpoint(GetCheckpointRequest(checkpoint_number=n)).checkpoint for n in (2, 0)]
    assert [(answer.checkpoint_number, answer.sequence) for answer in answers] == [(2, 20), (3, 30)]
    assert answers[0].sign_time.ToDatetime(NOW.tzinfo) == NOW
    assert (answers[0].digest, answers[0].envelope) == ("a" * 64, b"signed")


@pytest.mark.parametrize("number", [0, 1, 2**62])
def test_a_checkpoint_that_is_not_there_is_not_found(api: Api, number: int) -> None:
    refusal = refusal_of(lambda: api.ledger.GetCheckpoint(GetCheckpointRequest(checkpoint_number=number)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CHECKPOINT")
    (resource,) = refusal.all_of(error_details_pb2.ResourceInfo)
    assert resource.resource_type == "unlearning.v1.LedgerCheckpoint"


def test_a_checkpoint_has_no_negative_number(api: Api) -> None:
    refusal = refusal_of(lambda: api.ledger.GetCheckpoint(GetCheckpointRequest(checkpoint_number=-1)))

    assert refusal.fields() == ["checkpoint_number"]
