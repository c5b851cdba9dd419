"""HoldService as callers see it."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from service.errors import ForgottenSampleIdsError, HoldActiveError
from service.pb.unlearning.v1 import hold_pb2
from service.pb.unlearning.v1.hold_service_pb2 import ListHoldsRequest, PlaceHoldRequest, ReleaseHoldRequest
from service.pb.unlearning.v1.sample_selection_pb2 import SampleIds, SampleSelection
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api
from tests.contract.rpc.records import LINEAGE, NOW

BASIS = "Court order 7 O 12/26"


def order(request_id: str = "hold-1", *sample_ids: str, basis: str = BASIS) -> PlaceHoldRequest:
    inline = SampleIds(sample_ids=sample_ids or ("sample-1", "sample-2"))
    samples = SampleSelection(inline=inline)
    return PlaceHoldRequest(request_id=request_id, lineage=LINEAGE, samples=samples, legal_basis=basis)


def end(
    hold: hold_pb2.Hold, request_id: str = "end-1", *, reason: str = "Closed", etag: str = ""
) -> ReleaseHoldRequest:
    return ReleaseHoldRequest(request_id=request_id, hold_id=hold.hold_id, reason=reason, etag=etag)


def test_the_service_says_that_it_serves(api: Api) -> None:
    health: Any = HealthStub(api.channel)  # its stubs know none of its methods
    answer = health.Check(HealthCheckRequest(service="unlearning.v1.HoldService"))

    assert answer.status == HealthCheckResponse.SERVING


def test_a_hold_is_active_and_restricts_unless_told_otherwise(api: Api) -> None:
    hold = api.holds.PlaceHold(order()).hold

    assert (hold.state, hold.treatment) == (hold_pb2.HOLD_STATE_ACTIVE, hold_pb2.HOLD_TREATMENT_RESTRICT)
    assert (hold.lineage, hold.sample_count, hold.legal_basis) == (LINEAGE, 2, BASIS)
    assert hold.place_time.ToDatetime(NOW.tzinfo) == NOW
    assert hold.waiting_ticket_count == 1
    assert not hold.HasField("release_time")
    assert api.application.actors == ["local"]


def test_a_hold_can_keep_its_samples_in_training(api: Api) -> None:
    request = order()
    request.treatment = hold_pb2.HOLD_TREATMENT_RETAIN

    assert api.holds.PlaceHold(request).hold.treatment == hold_pb2.HOLD_TREATMENT_RETAIN


def test_the_same_order_twice_places_one_hold(api: Api) -> None:
    assert api.holds.PlaceHold(order()) == api.holds.PlaceHold(order())
    assert len(api.application.holds) == 1


def test_a_request_id_with_another_order_is_refused(api: Api) -> None:
    hold = api.holds.PlaceHold(order()).hold
    refusal = refusal_of(lambda: api.holds.PlaceHold(order(basis="Another")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    (resource,) = refusal.all_of(error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("unlearning.v1.Hold", hold.hold_id)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"request_id": ""}, ["request_id"]),
        ({"lineage": "No!"}, ["lineage"]),
        ({"legal_basis": ""}, ["legal_basis"]),
        ({"legal_basis": "x" * 1001}, ["legal_basis"]),
        ({"treatment": 99}, ["treatment"]),
        ({"samples": SampleSelection()}, ["samples"]),
        ({"samples": SampleSelection(inline=SampleIds())}, ["samples"]),
        ({"samples": SampleSelection(inline=SampleIds(sample_ids=["a", ""]))}, ["samples.inline.sample_ids[1]"]),
    ],
)
def test_an_order_that_breaks_the_contract_is_refused_with_its_fields(
    api: Api, changes: dict[str, object], fields: list[str]
) -> None:
    request = order()
    for name in changes:
        request.ClearField(name)  # type: ignore[arg-type] # the table's
    request.MergeFrom(PlaceHoldRequest(**changes))  # type: ignore[arg-type] # as above
    refusal = refusal_of(lambda: api.holds.PlaceHold(request))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields() == fields
    assert not api.application.holds


def test_samples_named_in_another_way_are_not_taken_for_none(api: Api) -> None:
    request = order()
    request.samples.CopyFrom(SampleSelection(label=3))
    refusal = refusal_of(lambda: api.holds.PlaceHold(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "ID_SOURCE_UNSUPPORTED")


def test_ids_that_are_unknown_are_refused_by_position(api: Api) -> None:
    refusal = refusal_of(lambda: api.holds.PlaceHold(order("hold-1", "sample-1", "nobody")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SAMPLE_IDS")
    assert dict(refusal.info.metadata) == {"count": "1", "positions": "1"}
    assert "nobody" not in str(refusal)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ForgottenSampleIdsError("forgotten", positions=(4, 7)), "FORGOTTEN_SAMPLE_IDS"),
        (HoldActiveError("held", hold_id="hld-1"), "HOLD_ACTIVE"),
    ],
)
def test_what_the_state_of_things_forbids_is_a_failed_precondition(api: Api, fault: Exception, reason: str) -> None:
    api.application.fault = fault
    refusal = refusal_of(lambda: api.holds.PlaceHold(order()))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    (failure,) = refusal.all_of(error_details_pb2.PreconditionFailure)
    assert [violation.type for violation in failure.violations] == [reason]


def test_a_released_hold_says_when_and_has_another_etag(api: Api) -> None:
    hold = api.holds.PlaceHold(order()).hold
    api.clock.advance(timedelta(days=1))
    released = api.holds.ReleaseHold(end(hold, etag=hold.etag)).hold

    assert released.state == hold_pb2.HOLD_STATE_RELEASED
    assert released.release_time.ToDatetime(NOW.tzinfo) == NOW + timedelta(days=1)
    assert released.etag != hold.etag


def test_a_release_that_is_repeated_with_its_etag_answers_like_the_first_one(api: Api) -> None:
    hold = api.holds.PlaceHold(order()).hold
    first = api.holds.ReleaseHold(end(hold, etag=hold.etag))

    assert api.holds.ReleaseHold(end(hold, etag=hold.etag)) == first


def test_a_hold_that_has_changed_is_not_released_by_its_old_etag(api: Api) -> None:
    hold = api.holds.PlaceHold(order()).hold
    api.holds.ReleaseHold(end(hold))
    refusal = refusal_of(lambda: api.holds.ReleaseHold(end(hold, "another", etag=hold.etag)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


@pytest.mark.parametrize("etag", ["", "x"])
def test_a_hold_that_is_not_there_cannot_be_released(api: Api, etag: str) -> None:
    refusal = refusal_of(lambda: api.holds.ReleaseHold(end(hold_pb2.Hold(hold_id="hld-9"), etag=etag)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_HOLD")
    (resource,) = refusal.all_of(error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("unlearning.v1.Hold", "hld-9")


def test_a_release_needs_a_reason(api: Api) -> None:
    hold = api.holds.PlaceHold(order()).hold

    assert refusal_of(lambda: api.holds.ReleaseHold(end(hold, reason=""))).fields() == ["reason"]


def test_holds_are_listed_newest_first_page_by_page(api: Api) -> None:
    holds = []
    for number in range(5):
        holds.append(api.holds.PlaceHold(order(f"hold-{number}")).hold.hold_id)
        api.clock.advance(timedelta(seconds=number % 2))  # some are placed at the same moment
    seen, token = [], ""
    while True:
        page = api.holds.ListHolds(ListHoldsRequest(page_size=2, page_token=token))
        seen += [hold.hold_id for hold in page.holds]
        token = page.next_page_token
        if not token:
            break

    assert seen == holds[::-1]


def test_holds_are_filtered_by_state_and_model(api: Api) -> None:
    first, second = api.holds.PlaceHold(order("1")).hold, api.holds.PlaceHold(order("2")).hold
    api.holds.ReleaseHold(end(first))

    def listed(**fields: object) -> list[str]:
        return [hold.hold_id for hold in api.holds.ListHolds(ListHoldsRequest(**fields)).holds]  # type: ignore[arg-type] # the test's

    assert listed(states=[hold_pb2.HOLD_STATE_ACTIVE]) == [second.hold_id]
    assert listed(states=[hold_pb2.HOLD_STATE_RELEASED]) == [first.hold_id]
    assert listed(lineage=LINEAGE) == [second.hold_id, first.hold_id]
    assert listed(lineage="another") == []


def test_a_page_token_belongs_to_its_filters(api: Api) -> None:
    for number in range(3):
        api.holds.PlaceHold(order(f"hold-{number}"))
    token = api.holds.ListHolds(ListHoldsRequest(page_size=1)).next_page_token
    request = ListHoldsRequest(page_size=1, page_token=token, lineage=LINEAGE)

    assert refusal_of(lambda: api.holds.ListHolds(request)).fields() == ["page_token"]
    wrong = ListHoldsRequest(states=[hold_pb2.HOLD_STATE_UNSPECIFIED])
    assert refusal_of(lambda: api.holds.ListHolds(wrong)).fields() == ["states[0]"]
