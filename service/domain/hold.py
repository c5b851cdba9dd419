"""Holds: orders that some samples must not be deleted for now, such as a litigation hold."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class HoldTreatment(StrEnum):
    """What happens to held samples in a run; in D_f they are never."""

    RESTRICT = "restrict"
    """They are in no part of a run: neither forgotten nor trained on."""
    RETAIN = "retain"
    """They stay in D_r."""


class HoldState(StrEnum):
    """Where a hold stands; RELEASED is final."""

    ACTIVE = "active"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRelease:
    """How a hold ended.

    Attributes:
        request_id: made up by the caller; the same id with the same content has no second effect.
        reason: for the ledger; no personal data.
    """

    request_id: str
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One hold. Its sample ids live in the store beside it, never in it, and never change.

    Attributes:
        payload_digest: keyed digest of the request, to tell a retry from a reuse of the request id.
        ids_commitment: keyed commitment to the set of sample ids.
        legal_basis: the order or law that it rests on; no personal data.
        release: `None` while it is active.
        version: counts saves; compare-and-swap.
    """

    hold_id: str
    tenant: str
    lineage: str
    request_id: str
    payload_digest: str
    ids_commitment: str
    sample_count: int
    legal_basis: str
    treatment: HoldTreatment
    placed_at: datetime
    placed_by: str
    release: HoldRelease | None = None
    version: int = 0

    @property
    def state(self) -> HoldState:
        """Return where it stands."""
        return HoldState.ACTIVE if self.release is None else HoldState.RELEASED


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOrder:
    """A hold as it was asked for.

    Attributes:
        request_id: made up by the caller; the same id with the same content has no second effect.
        sample_ids: in the order of the request; errors name them by their position in it.
    """

    lineage: str
    request_id: str
    sample_ids: tuple[str, ...]
    legal_basis: str
    treatment: HoldTreatment = HoldTreatment.RESTRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldStanding:
    """A hold, and how many open tickets name a sample of it."""

    hold: Hold
    waiting_tickets: int


def release(hold: Hold, end: HoldRelease) -> Hold:
    """Return the hold after its release.

    Raises:
        RuntimeError: it was released before; a caller that depends on outside input asks for its state first.
    """
    if hold.release is not None:
        raise RuntimeError(f"hold {hold.hold_id} was released before")
    return replace(hold, release=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRows:
    """The rows of a lineage that some holds name. A row that two holds treat differently is restricted.

    Attributes:
        hold_ids: of these holds, sorted.
        restricted: in neither D_f nor D_r.
        retained: in D_r.
    """

    hold_ids: tuple[str, ...] = ()
    restricted: frozenset[int] = frozenset()
    retained: frozenset[int] = frozenset()

    @property
    def rows(self) -> frozenset[int]:
        """Return every row that must not be forgotten."""
        return self.restricted | self.retained

    def touches(self, forget: Collection[int]) -> bool:
        """Return whether forgetting these rows would forget a held one."""
        return not self.rows.isdisjoint(forget)

    def reaches_beyond(self, left_out: Collection[int]) -> bool:
        """Return whether a run that leaves these rows out of D_f and D_r would still process a restricted one."""
        return not self.restricted.issubset(left_out)


def held_rows(holds: Iterable[tuple[Hold, Iterable[int]]]) -> HeldRows:
    """Return what holds, each with its rows, come to together."""
    ids: list[str] = []
    by_treatment: dict[HoldTreatment, set[int]] = {treatment: set() for treatment in HoldTreatment}
    for hold, rows in holds:
        ids.append(hold.hold_id)
        by_treatment[hold.treatment].update(rows)
    restricted = frozenset(by_treatment[HoldTreatment.RESTRICT])
    retained = frozenset(by_treatment[HoldTreatment.RETAIN]) - restricted
    return HeldRows(hold_ids=tuple(sorted(ids)), restricted=restricted, retained=retained)


NO_HELD_ROWS = HeldRows()
