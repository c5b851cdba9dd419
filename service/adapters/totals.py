"""What the metrics call the end of a ticket; the same for every store."""

from service.domain.ticket import Ticket


def outcome_of(ticket: Ticket) -> tuple[str, str]:
    """Return (outcome, reason code) of a closed ticket; `none` where it needed no reason."""
    return ticket.state.value, ticket.reasons[0].code if ticket.reasons else "none"
