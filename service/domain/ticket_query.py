"""Which tickets somebody asks for."""

from dataclasses import dataclass
from datetime import datetime

from service.domain.ticket import TicketState


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketQuery:
    """Which tickets to list, newest first."""

    tenant: str | None = None
    lineage: str | None = None
    states: frozenset[TicketState] = frozenset()
    """Empty: all."""
    after: tuple[datetime, str] | None = None
    """(received_at, ticket_id) of the last one already seen."""
    limit: int = 50
