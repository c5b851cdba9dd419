"""The deletion ticket and the one table by which it changes."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from service.domain.deadline import Regime
from service.domain.extension import Extension


class TicketState(StrEnum):
    """Where a ticket stands. Terminal states are final."""

    ACCEPTED = "accepted"
    ON_HOLD = "on_hold"
    SCHEDULED = "scheduled"
    PROCESSING = "processing"
    PUBLISHED = "published"
    NEEDS_ATTENTION = "needs_attention"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


TERMINAL_STATES = frozenset({TicketState.SUCCEEDED, TicketState.REJECTED, TicketState.CANCELLED})


class TicketEvent(StrEnum):
    """What happens to a ticket."""

    SCHEDULE = "schedule"
    HOLD = "hold"
    RELEASE_HOLD = "release_hold"
    REJECT = "reject"
    CANCEL = "cancel"
    START = "start"
    RUN_FAILED = "run_failed"
    ALREADY_FORGOTTEN = "already_forgotten"
    PUBLISH = "publish"
    PUBLISH_PART = "publish_part"
    """A release forgot its samples but for those under a hold."""
    TAKE_EFFECT = "take_effect"
    ESCALATE = "escalate"
    WAIVE = "waive"


TRANSITIONS: dict[tuple[TicketState, TicketEvent], TicketState] = {
    (TicketState.ACCEPTED, TicketEvent.SCHEDULE): TicketState.SCHEDULED,
    (TicketState.ACCEPTED, TicketEvent.HOLD): TicketState.ON_HOLD,
    (TicketState.ACCEPTED, TicketEvent.REJECT): TicketState.REJECTED,
    (TicketState.ACCEPTED, TicketEvent.CANCEL): TicketState.CANCELLED,
    (TicketState.ON_HOLD, TicketEvent.RELEASE_HOLD): TicketState.SCHEDULED,
    (TicketState.ON_HOLD, TicketEvent.CANCEL): TicketState.CANCELLED,
    (TicketState.SCHEDULED, TicketEvent.START): TicketState.PROCESSING,
    (TicketState.SCHEDULED, TicketEvent.HOLD): TicketState.ON_HOLD,
    (TicketState.SCHEDULED, TicketEvent.CANCEL): TicketState.CANCELLED,
    (TicketState.SCHEDULED, TicketEvent.PUBLISH): TicketState.PUBLISHED,
    (TicketState.SCHEDULED, TicketEvent.ALREADY_FORGOTTEN): TicketState.SUCCEEDED,
    (TicketState.SCHEDULED, TicketEvent.ESCALATE): TicketState.NEEDS_ATTENTION,
    (TicketState.PROCESSING, TicketEvent.PUBLISH): TicketState.PUBLISHED,
    (TicketState.PROCESSING, TicketEvent.PUBLISH_PART): TicketState.ON_HOLD,
    (TicketState.PROCESSING, TicketEvent.RUN_FAILED): TicketState.SCHEDULED,
    (TicketState.PROCESSING, TicketEvent.ESCALATE): TicketState.NEEDS_ATTENTION,
    (TicketState.PROCESSING, TicketEvent.CANCEL): TicketState.CANCELLED,
    (TicketState.PUBLISHED, TicketEvent.TAKE_EFFECT): TicketState.SUCCEEDED,
    (TicketState.PUBLISHED, TicketEvent.ESCALATE): TicketState.NEEDS_ATTENTION,
    (TicketState.NEEDS_ATTENTION, TicketEvent.SCHEDULE): TicketState.SCHEDULED,
    (TicketState.NEEDS_ATTENTION, TicketEvent.WAIVE): TicketState.SUCCEEDED,
    (TicketState.NEEDS_ATTENTION, TicketEvent.CANCEL): TicketState.CANCELLED,
}
"""The whole life of a ticket; the code, the README's drawing and the tests read this table."""


class IdSource(StrEnum):
    """Where a ticket's ids came from."""

    INLINE = "inline"
    UPLOAD = "upload"
    OBJECT = "object"
    SUBJECTS = "subjects"
    LABEL = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketReason:
    """Why a ticket stands where it stands."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One deletion request. Its sample ids live in the store beside it, never in it.

    Attributes:
        payload_digest: keyed digest of the request, to tell a retry from a reuse of the request id.
        ids_commitment: keyed commitment to the set of sample ids.
        release_number: the release that closed it.
        forgotten_count: samples of it that releases had forgotten when it was last put on hold.
        rungs_left: how many rungs, counted from the ladder's end, the next run of it may use; `None`: all of them.
        version: counts saves; compare-and-swap.
        extensions: what moved `due_at`, oldest first.
    """

    ticket_id: str
    tenant: str
    lineage: str
    request_id: str
    payload_digest: str
    ids_commitment: str
    source: IdSource
    sample_count: int
    regime: Regime
    received_at: datetime
    due_at: datetime
    state: TicketState = TicketState.ACCEPTED
    reasons: tuple[TicketReason, ...] = ()
    run_id: str | None = None
    release_number: int | None = None
    forgotten_count: int = 0
    rungs_left: int | None = None
    closed_at: datetime | None = None
    version: int = 0
    extensions: tuple[Extension, ...] = ()

    @property
    def is_open(self) -> bool:
        """Return whether something still has to happen."""
        return self.state not in TERMINAL_STATES


def can_happen(ticket: Ticket, event: TicketEvent) -> bool:
    """Return whether the table knows this event in the ticket's state."""
    return (ticket.state, event) in TRANSITIONS


def advance(ticket: Ticket, event: TicketEvent, now: datetime, *, reasons: tuple[TicketReason, ...] = ()) -> Ticket:
    """Return the ticket after the event.

    Raises:
        RuntimeError: the table does not know this event in this state; a caller that depends on outside input asks
            `can_happen` first.
    """
    target = TRANSITIONS.get((ticket.state, event))
    if target is None:
        raise RuntimeError(f"ticket {ticket.ticket_id}: no {event.value} in state {ticket.state.value}")
    closed_at = now if target in TERMINAL_STATES else None
    return replace(ticket, state=target, reasons=reasons, closed_at=closed_at)


def on_hold(ticket: Ticket, event: TicketEvent, *, held: int, forgotten: int, now: datetime) -> Ticket:
    """Return the ticket once nothing of it is left that may be forgotten before a hold ends. Its due time stays.

    Args:
        ticket: whose samples are held or forgotten, all of them.
        event: HOLD before a run, PUBLISH_PART after one.
        held: samples under a hold.
        forgotten: samples that a release has forgotten.
        now: the time.

    Raises:
        RuntimeError: the table does not know this event in this state.
    """
    served = f", {forgotten} are forgotten" if forgotten else ""
    text = (
        f"{held} of its {ticket.sample_count} samples are under a hold{served}: it goes on by itself when the hold "
        "ends, and its due time does not wait for that."
    )
    moved = advance(ticket, event, now, reasons=(TicketReason(code="HOLD_ACTIVE", text=text),))
    # What an operator had ordered for a run that is published now was for that run, not for the rest.
    rungs_left = None if event is TicketEvent.PUBLISH_PART else ticket.rungs_left
    return replace(moved, forgotten_count=forgotten, rungs_left=rungs_left)
