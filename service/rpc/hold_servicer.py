"""HoldService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

import grpc

from service.pb.unlearning.v1.hold_service_pb2 import (
    ListHoldsRequest,
    ListHoldsResponse,
    PlaceHoldRequest,
    PlaceHoldResponse,
    ReleaseHoldRequest,
    ReleaseHoldResponse,
)
from service.pb.unlearning.v1.hold_service_pb2_grpc import HoldServiceServicer
from service.rpc.application import Application
from service.rpc.convert import holds
from service.rpc.errors import EtagMismatchError
from service.rpc.identity import Identity, current_identity


class HoldServicer(HoldServiceServicer):
    """Places, releases and lists holds."""

    def __init__(self, *, application: Application) -> None:
        self._application = application

    def PlaceHold(self, request: PlaceHoldRequest, context: grpc.ServicerContext) -> PlaceHoldResponse:
        """Put samples under a hold."""
        caller = current_identity()
        placed = self._application.place_hold(holds.order(request), tenant=caller.tenant, actor=caller.actor)
        return PlaceHoldResponse(hold=holds.hold(placed))

    def ReleaseHold(self, request: ReleaseHoldRequest, context: grpc.ServicerContext) -> ReleaseHoldResponse:
        """End a hold."""
        caller = current_identity()
        holds.check_release(request)
        released = self._application.release_hold(
            request.hold_id,
            request_id=request.request_id,
            reason=request.reason,
            tenant=caller.tenant,
            actor=caller.actor,
            expected_version=self._expected_version(request, caller) if request.etag else None,
        )
        return ReleaseHoldResponse(hold=holds.hold(released))

    def ListHolds(self, request: ListHoldsRequest, context: grpc.ServicerContext) -> ListHoldsResponse:
        """Return a page of holds."""
        query = holds.query(request, tenant=current_identity().tenant)
        return holds.page(self._application.list_holds(query), query)

    def _expected_version(self, request: ReleaseHoldRequest, caller: Identity) -> int:
        hold = self._application.get_hold(request.hold_id, tenant=caller.tenant)
        is_repeated = hold.release is not None and hold.release.request_id == request.request_id
        if not is_repeated and holds.etag(hold) != request.etag:
            raise EtagMismatchError("the hold changed since it was read: read it again", hold_id=hold.hold_id)
        return hold.version
