"""DeletionService.UploadSampleIds as callers see it."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed

from service.pb.unlearning.v1 import ticket_pb2
from service.pb.unlearning.v1.deletion_service_pb2 import (
    SubmitTicketRequest,
    UploadHeader,
    UploadSampleIdsRequest,
)
from service.pb.unlearning.v1.sample_selection_pb2 import SampleIds, SampleSelection, SubjectIds
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api
from tests.contract.rpc.records import LINEAGE, NOW

IDS = [f"sample-{number}" for number in range(120)]


def head(count: int = len(IDS), **fields: str) -> UploadSampleIdsRequest:
    known = {"request_id": "upload", "lineage": LINEAGE} | fields
    header = UploadHeader(request_id=known["request_id"], lineage=known["lineage"], sample_count=count)
    return UploadSampleIdsRequest(header=header)


def chunk(*ids: str) -> UploadSampleIdsRequest:
    return UploadSampleIdsRequest(chunk=SampleIds(sample_ids=ids))


def stream(size: int = 50) -> Iterator[UploadSampleIdsRequest]:
    yield head()
    for start in range(0, len(IDS), size):
        yield chunk(*IDS[start : start + size])


def submission(selection: SampleSelection, request_id: str = "r") -> SubmitTicketRequest:
    return SubmitTicketRequest(request_id=request_id, lineage=LINEAGE, samples=selection, regime=ticket_pb2.REGIME_GDPR)


def test_an_uploaded_set_can_be_submitted(api: Api) -> None:
    upload = api.deletion.UploadSampleIds(stream())
    ticket = api.deletion.SubmitTicket(submission(SampleSelection(upload_id=upload.upload_id))).ticket

    assert upload.sample_count == ticket.sample_count == 120
    assert upload.expire_time.ToDatetime(NOW.tzinfo) == NOW + timedelta(hours=24)
    assert ticket.source == ticket_pb2.SAMPLE_SOURCE_UPLOAD


def test_the_same_upload_twice_is_one(api: Api) -> None:
    assert api.deletion.UploadSampleIds(stream()) == api.deletion.UploadSampleIds(stream(7))


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "header"),
        ([chunk("a")], "header"),
        ([UploadSampleIdsRequest()], "header"),
        ([head(0)], "header.sample_count"),
        ([head(10**9)], "header.sample_count"),
        ([head(1, request_id="")], "request_id"),
        ([head(1, lineage="Not a name")], "lineage"),
        ([head(1), head(1)], "chunk"),
        ([head(1), chunk()], "chunk"),
        ([head(2), chunk("a", "")], "chunk.sample_ids[1]"),
    ],
)
def test_a_stream_that_breaks_the_contract_names_its_field(
    api: Api, messages: list[UploadSampleIdsRequest], field: str
) -> None:
    refusal = refusal_of(lambda: api.deletion.UploadSampleIds(iter(messages)))

    assert (refusal.code, refusal.fields()) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert not api.application.upload_store._uploads


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([head(3), chunk("a", "b")], "UPLOAD_INCOMPLETE"),
        ([head(1), chunk("a", "b")], "UPLOAD_INCOMPLETE"),
        ([head(2), chunk("secret-a", "secret-a")], "DUPLICATE_SAMPLE_IDS"),
        ([head(1, lineage="other"), chunk("a")], "UNKNOWN_LINEAGE"),
    ],
)
def test_a_set_that_cannot_be_meant_is_refused(api: Api, messages: list[UploadSampleIdsRequest], reason: str) -> None:
    refusal = refusal_of(lambda: api.deletion.UploadSampleIds(iter(messages)))

    assert refusal.reason == reason
    assert "secret" not in str(refusal)


def test_an_upload_that_is_not_there_is_not_found(api: Api) -> None:
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission(SampleSelection(upload_id="upl-9"))))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_UPLOAD")
    (resource,) = refusal.all_of(error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("unlearning.v1.Upload", "upl-9")


def test_one_upload_too_many_is_refused_at_once_and_others_go_on(api: Api) -> None:
    going_on = threading.Event()

    def slowly() -> Iterator[UploadSampleIdsRequest]:
        yield head()
        going_on.wait(20.0)
        yield chunk(*IDS)

    open_streams = [api.deletion.UploadSampleIds.future(slowly()) for _ in range(2)]
    wait_for_uploads(api, 2)
    refusal = refusal_of(lambda: api.deletion.UploadSampleIds(stream()))
    going_on.set()

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_OVERLOADED")
    assert refusal.all_of(error_details_pb2.RetryInfo)
    assert len({one.result().upload_id for one in open_streams}) == 1
    assert api.deletion.UploadSampleIds(stream()).sample_count == 120


def test_a_caller_who_goes_away_leaves_nothing(api: Api) -> None:
    begun = threading.Event()

    def endless() -> Iterator[UploadSampleIdsRequest]:
        yield head()
        yield chunk(*IDS[:10])
        begun.wait(20.0)

    call = api.deletion.UploadSampleIds.future(endless())
    wait_for_uploads(api, 1)
    call.cancel()
    begun.set()
    wait_for_uploads(api, 0)


def wait_for_uploads(api: Api, count: int) -> None:
    for _ in range(400):
        if len(api.application.upload_store._uploads) == count:
            return
        threading.Event().wait(0.025)
    raise AssertionError(f"{len(api.application.upload_store._uploads)} uploads")


def test_samples_can_be_named_by_people_and_by_label(api: Api) -> None:
    people = SampleSelection(subjects=SubjectIds(subject_ids=["person-1", "person-2"]))
    tickets = [
        api.deletion.SubmitTicket(submission(selection, f"r{number}")).ticket
        for number, selection in enumerate((people, SampleSelection(label=0)))
    ]

    assert [ticket.source for ticket in tickets] == [ticket_pb2.SAMPLE_SOURCE_SUBJECTS, ticket_pb2.SAMPLE_SOURCE_LABEL]


def test_unknown_people_are_named_by_position_only(api: Api) -> None:
    people = SampleSelection(subjects=SubjectIds(subject_ids=["person-1", "secret"]))
    refusal = refusal_of(lambda: api.deletion.SubmitTicket(submission(people)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SUBJECT_IDS")
    assert (refusal.info.metadata["count"], refusal.info.metadata["positions"]) == ("1", "1")
    assert "secret" not in str(refusal)


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        (SampleSelection(label=-1), "samples.label"),
        (SampleSelection(upload_id=""), "samples.upload_id"),
        (SampleSelection(subjects=SubjectIds(subject_ids=["a", ""])), "samples.subjects.subject_ids[1]"),
    ],
)
def test_a_selection_that_breaks_the_contract_names_its_field(api: Api, selection: SampleSelection, field: str) -> None:
    assert refusal_of(lambda: api.deletion.SubmitTicket(submission(selection))).fields() == [field]
