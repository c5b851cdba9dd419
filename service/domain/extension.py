"""Extensions and pauses of the statutory clock: the only things that move a due time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from service.domain.deadline import Regime, due_time, latest_due_time
from service.errors import ExtensionNotAllowedError, FieldViolation, InvalidRequestError


class ExtensionKind(StrEnum):
    """Why a due time moved."""

    EXTENSION = "extension"
    PAUSE = "pause"
    """The clock stood still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """When the clock stood still."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Return for how long."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionRequest:
    """What somebody asks for: either a due time or a pause.

    Attributes:
        reason: for the ledger; no personal data.
    """

    request_id: str
    reason: str
    due_at: datetime | None = None
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """What was granted, kept with the ticket."""

    request: ExtensionRequest
    due_before: datetime
    due_at: datetime
    actor: str
    at: datetime

    @property
    def kind(self) -> ExtensionKind:
        """Return which of the two it is."""
        return ExtensionKind.EXTENSION if self.request.pause is None else ExtensionKind.PAUSE


def grant(
    request: ExtensionRequest,
    *,
    received_at: datetime,
    due_at: datetime,
    regime: Regime,
    earlier: Sequence[Extension],
    actor: str,
    now: datetime,
) -> Extension:
    """Return the extension that the law allows.

    Args:
        request: what is asked for.
        received_at: when the ticket was received.
        due_at: when it is due now.
        regime: the law.
        earlier: what was granted before.
        actor: who asks.
        now: the current time.

    Raises:
        InvalidRequestError: the times cannot be meant.
        ExtensionNotAllowedError: the law does not allow it.
    """
    pauses = [extension.request.pause for extension in earlier if extension.request.pause is not None]
    if request.pause is not None:
        _check_pause(request.pause, pauses, received_at=received_at, due_at=due_at, regime=regime, now=now)
        due = due_at + request.pause.length
    else:
        stood_still = sum((pause.length for pause in pauses), timedelta())
        if request.due_at is None or request.due_at <= due_at:
            raise InvalidRequestError(
                FieldViolation(
                    field="due_time", description=f"must be later than the present one, {due_at.isoformat()}"
                )
            )
        _check_extension(
            request.due_at,
            received_at=received_at,
            regime=regime,
            stood_still=stood_still,
            is_first=len(earlier) == len(pauses),
            now=now,
        )
        due = request.due_at
    return Extension(request=request, due_before=due_at, due_at=due, actor=actor, at=now)


def _check_extension(
    wanted: datetime,
    *,
    received_at: datetime,
    regime: Regime,
    stood_still: timedelta,
    is_first: bool,
    now: datetime,
) -> None:
    latest = latest_due_time(received_at, regime) + stood_still
    first_period_ends = due_time(received_at, regime) + stood_still
    if now > first_period_ends:
        raise ExtensionNotAllowedError(
            f"the first period ended at {first_period_ends.isoformat()}, and the person had to be told of an extension "
            "within it"
        )
    if regime is Regime.CCPA and not is_first:
        raise ExtensionNotAllowedError("the period was extended before, and CCPA allows that once")
    if wanted > latest:
        raise ExtensionNotAllowedError(
            f"{regime.value.upper()} allows no due time after {latest.isoformat()}", latest_due_time=latest.isoformat()
        )


def _check_pause(
    pause: Pause,
    earlier: Sequence[Pause],
    *,
    received_at: datetime,
    due_at: datetime,
    regime: Regime,
    now: datetime,
) -> None:
    if regime is Regime.CCPA:
        raise ExtensionNotAllowedError(
            "CCPA's period runs from the receipt of a request, whatever time its verification takes (11 CCR 7021(b))"
        )
    problem = None
    if not received_at <= pause.start < pause.end <= now:
        problem = "must begin at the receipt of the request or later, and end after its begin and not in the future"
    elif pause.start >= due_at:
        problem = "must begin before the due time"
    elif any(pause.start < other.end and other.start < pause.end for other in earlier):
        problem = "must not overlap an earlier pause"
    if problem is not None:
        raise InvalidRequestError(FieldViolation(field="pause", description=problem))
