"""Statutory deadlines: when a ticket is due, and how it stands against that."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from dateutil.relativedelta import relativedelta


class Regime(StrEnum):
    """Law under which a deletion is asked for."""

    GDPR = "gdpr"
    """One calendar month, Art. 12(3)."""
    CCPA = "ccpa"
    """45 days, Cal. Civ. Code 1798.130(a)(2)."""


class SlaState(StrEnum):
    """How a ticket stands against its due time."""

    ON_TRACK = "on_track"
    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    MET = "met"
    MISSED = "missed"


DUE_SOON_SHARE = 0.25
"""A ticket is due soon when less than this share of its period is left."""


def due_time(received_at: datetime, regime: Regime) -> datetime:
    """Return when a request received at that time must be complied with.

    A calendar month that has no such day ends on its last day (31 January → 28 or 29 February), as Regulation
    (EEC, Euratom) 1182/71 Art. 3(2)(c) has it.
    """
    match regime:
        case Regime.GDPR:
            return received_at + relativedelta(months=1)
        case Regime.CCPA:
            return received_at + timedelta(days=45)
        case _:
            assert_never(regime)


def latest_due_time(received_at: datetime, regime: Regime) -> datetime:
    """Return to when a request's due time may be extended at most, pauses of the clock apart.

    GDPR Art. 12(3): one month, "extended by two further months where necessary". CCPA: 45 days, "extended once by an
    additional 45 days" (Cal. Civ. Code 1798.130(a)(2)(A)), "a maximum total of 90 calendar days" (11 CCR 7021(b)).
    """
    match regime:
        case Regime.GDPR:
            return received_at + relativedelta(months=3)
        case Regime.CCPA:
            return received_at + timedelta(days=90)
        case _:
            assert_never(regime)


def sla_state(received_at: datetime, due_at: datetime, closed_at: datetime | None, now: datetime) -> SlaState:
    """Return how a ticket stands: before its end by `now`, after it by the time at which it was closed."""
    if closed_at is not None:
        return SlaState.MET if closed_at <= due_at else SlaState.MISSED
    if now > due_at:
        return SlaState.OVERDUE
    return SlaState.DUE_SOON if (due_at - now) < DUE_SOON_SHARE * (due_at - received_at) else SlaState.ON_TRACK


def is_at_risk(due_at: datetime, now: datetime, usual: timedelta) -> bool:
    """Return whether an open ticket would be late, though it is not yet, if it took as long from now as tickets do.

    Args:
        due_at: when it is due.
        now: the current time.
        usual: how long tickets take from receipt to success, queue included; a high percentile.
    """
    return now <= due_at < now + usual


def percentile_95(ascending: Sequence[float]) -> float:
    """Return the nearest-rank 95th percentile of sorted values; 0 without any."""
    return ascending[math.ceil(0.95 * len(ascending)) - 1] if ascending else 0.0
