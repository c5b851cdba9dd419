"""DeletionService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

import threading
from collections.abc import Iterator

import grpc

from service.domain.ticket import Ticket, TicketState
from service.errors import ServerOverloadedError
from service.pb.unlearning.v1.deletion_service_pb2 import (
    CancelTicketRequest,
    CancelTicketResponse,
    ExtendTicketRequest,
    ExtendTicketResponse,
    GetReceiptRequest,
    GetReceiptResponse,
    GetTicketRequest,
    GetTicketResponse,
    ListTicketsRequest,
    ListTicketsResponse,
    SubmitTicketRequest,
    SubmitTicketResponse,
    UploadSampleIdsRequest,
    UploadSampleIdsResponse,
    WatchTicketRequest,
    WatchTicketResponse,
)
from service.pb.unlearning.v1.deletion_service_pb2_grpc import DeletionServiceServicer
from service.pb.unlearning.v1.run_pb2 import RunProgress
from service.ports import Clock
from service.rpc.application import Application
from service.rpc.convert import extensions, requests, responses, selections
from service.rpc.errors import EtagMismatchError
from service.rpc.identity import current_identity
from service.rpc.watchers import Watchers


class DeletionServicer(DeletionServiceServicer):
    """Takes deletion requests and says how far they are."""

    def __init__(self, *, application: Application, clock: Clock, watchers: Watchers, max_uploads: int) -> None:
        self._application = application
        self._max_uploads = max_uploads
        self._upload_places = threading.Semaphore(max_uploads)
        self._clock = clock
        self._watchers = watchers

    def SubmitTicket(self, request: SubmitTicketRequest, context: grpc.ServicerContext) -> SubmitTicketResponse:
        """Store a request, or say what would come of it."""
        caller = current_identity()
        submission = requests.submission(request)
        if request.validate_only:
            preview = self._application.preview_ticket(submission, tenant=caller.tenant)
            return SubmitTicketResponse(preview=responses.preview(preview))
        ticket = self._application.submit_ticket(submission, tenant=caller.tenant, actor=caller.actor)
        return SubmitTicketResponse(ticket=responses.ticket(ticket, self._clock.now()))

    def UploadSampleIds(
        self, request_iterator: Iterator[UploadSampleIdsRequest], context: grpc.ServicerContext
    ) -> UploadSampleIdsResponse:
        """Store a set of ids for a later request."""
        if not self._upload_places.acquire(blocking=False):
            raise ServerOverloadedError(f"{self._max_uploads} uploads are under way", limit=str(self._max_uploads))
        try:
            header = selections.upload_header(request_iterator)
            upload = self._application.upload_sample_ids(
                header, selections.pieces(request_iterator), tenant=current_identity().tenant
            )
        finally:
            self._upload_places.release()
        return selections.upload(upload)

    def GetTicket(self, request: GetTicketRequest, context: grpc.ServicerContext) -> GetTicketResponse:
        """Return a ticket."""
        ticket = self._application.get_ticket(requests.ticket_id(request), tenant=current_identity().tenant)
        return GetTicketResponse(ticket=responses.ticket(ticket, self._clock.now()))

    def ListTickets(self, request: ListTicketsRequest, context: grpc.ServicerContext) -> ListTicketsResponse:
        """Return a page of tickets."""
        query = requests.ticket_query(request, tenant=current_identity().tenant)
        return responses.ticket_page(self._application.list_tickets(query), query, self._clock.now())

    def WatchTicket(self, request: WatchTicketRequest, context: grpc.ServicerContext) -> Iterator[WatchTicketResponse]:
        """Send a ticket and its run's progress whenever one of them has changed."""
        tenant = current_identity().tenant
        ticket_id = requests.ticket_id(request)
        until_attention = request.until_attention if request.HasField("until_attention") else True

        def look() -> tuple[WatchTicketResponse, bool]:
            ticket = self._application.get_ticket(ticket_id, tenant=tenant)
            message = WatchTicketResponse(
                ticket=responses.ticket(ticket, self._clock.now()), progress=self._progress(ticket)
            )
            needs_person = until_attention and ticket.state is TicketState.NEEDS_ATTENTION
            return message, needs_person or not ticket.is_open

        return self._watchers.follow(context, look)

    def CancelTicket(self, request: CancelTicketRequest, context: grpc.ServicerContext) -> CancelTicketResponse:
        """Withdraw a ticket."""
        caller = current_identity()
        ticket_id = requests.ticket_id(request)
        expected_version = None
        if request.etag:
            ticket = self._application.get_ticket(ticket_id, tenant=caller.tenant)
            if responses.ticket_etag(ticket) != request.etag:
                raise EtagMismatchError("the ticket changed since it was read: read it again", ticket_id=ticket_id)
            expected_version = ticket.version
        ticket = self._application.cancel_ticket(
            ticket_id, tenant=caller.tenant, actor=caller.actor, expected_version=expected_version
        )
        return CancelTicketResponse(ticket=responses.ticket(ticket, self._clock.now()))

    def ExtendTicket(self, request: ExtendTicketRequest, context: grpc.ServicerContext) -> ExtendTicketResponse:
        """Move a ticket's due time."""
        caller = current_identity()
        extension = extensions.extension_request(request)
        ticket = self._application.get_ticket(request.ticket_id, tenant=caller.tenant)
        is_repeated = any(earlier.request.request_id == extension.request_id for earlier in ticket.extensions)
        if request.etag and not is_repeated and responses.ticket_etag(ticket) != request.etag:
            raise EtagMismatchError("the ticket changed since it was read: read it again", ticket_id=ticket.ticket_id)
        extended = self._application.extend_ticket(
            ticket.ticket_id,
            extension,
            tenant=caller.tenant,
            actor=caller.actor,
            expected_version=ticket.version if request.etag else None,
        )
        return ExtendTicketResponse(ticket=responses.ticket(extended, self._clock.now()))

    def GetReceipt(self, request: GetReceiptRequest, context: grpc.ServicerContext) -> GetReceiptResponse:
        """Return the signed receipt of a ticket."""
        ticket_id = requests.ticket_id(request)
        envelope = self._application.get_receipt(ticket_id, tenant=current_identity().tenant)
        return GetReceiptResponse(envelope=envelope)

    def _progress(self, ticket: Ticket) -> RunProgress | None:
        if ticket.run_id is None:
            return None
        run = self._application.get_run(ticket.run_id, tenant=ticket.tenant)
        return responses.progress(run, self._application.progress(run.run_id) if run.is_active else None)
