"""Extends tickets: the law decides, the store records it with its reason."""

from dataclasses import dataclass, replace

from service.domain.entries import ticket_extended
from service.domain.extension import ExtensionRequest, grant
from service.domain.ticket import Ticket
from service.errors import RequestIdReusedError, StaleVersionError, TicketNotExtendableError
from service.ports import Change, Clock, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Extender:
    """Moves due times."""

    store: Store
    clock: Clock

    def extend(
        self, ticket: Ticket, request: ExtensionRequest, *, actor: str, expected_version: int | None = None
    ) -> None:
        """Move a ticket's due time; the same request once more has no second effect.

        Raises:
            RequestIdReusedError: the ticket was extended under this request id by another request.
            TicketNotExtendableError: it is closed.
            InvalidRequestError: the times cannot be meant.
            ExtensionNotAllowedError: the law does not allow it.
            StaleVersionError: the ticket changed since it was read.
        """
        same_id = [earlier for earlier in ticket.extensions if earlier.request.request_id == request.request_id]
        if same_id:
            if same_id[0].request != request:
                raise RequestIdReusedError(
                    "the ticket was extended under this request id by another request: take a new one",
                    ticket_id=ticket.ticket_id,
                )
            return
        if expected_version is not None and ticket.version != expected_version:
            raise StaleVersionError("the ticket changed since it was read: read it again", ticket_id=ticket.ticket_id)
        if not ticket.is_open:
            raise TicketNotExtendableError(
                f"the ticket is {ticket.state.value}: its clock has stopped",
                ticket_id=ticket.ticket_id,
                state=ticket.state.value,
            )
        extension = grant(
            request,
            received_at=ticket.received_at,
            due_at=ticket.due_at,
            regime=ticket.regime,
            earlier=ticket.extensions,
            actor=actor,
            now=self.clock.now(),
        )
        extended = replace(ticket, due_at=extension.due_at, extensions=(*ticket.extensions, extension))
        self.store.save(Change(tickets=(extended,), entries=(ticket_extended(ticket, extension),)))
