"""Holds as callers see them: placed, released and listed."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service.domain import hold as domain
from service.domain.commitment import CommitmentKey
from service.domain.entries import hold_placed, hold_released
from service.domain.hold import Hold, HoldOrder, HoldRelease, HoldStanding, HoldState
from service.domain.model import Model
from service.errors import (
    ForgottenSampleIdsError,
    RequestIdReusedError,
    StaleVersionError,
    UnknownHoldError,
)
from service.hold_port import HoldQuery
from service.ports import Change, Clock, ManifestSource, Store
from service.selection import training_rows

_PLACE_TRIES = 5
"""A run that is opened or published meanwhile makes a placement begin again; five times in a row it does not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOffice:
    """Places and releases holds. Nothing here waits for a run: the workflow looks at holds at its next step."""

    store: Store
    manifests: ManifestSource
    clock: Clock
    key: CommitmentKey

    def place(self, order: HoldOrder, model: Model, *, actor: str) -> HoldStanding:
        """Put samples under a hold; once this returns, no release forgets them until the hold ends.

        1. A repeated order gets its hold back.
        2. The ids must be training samples of the lineage's manifest, each named once, and none forgotten already.
        3. Hold, ids and ledger entry are saved together, and the lineage's record with them: who opens a run or
           publishes one by what was known before this hold finds that record changed, and looks again.

        Args:
            order: what is to be held.
            model: the lineage that it names.
            actor: who orders it.

        Raises:
            RequestIdReusedError: the request id was used with another payload.
            DuplicateSampleIdsError: ids named twice, by position.
            UnknownSampleIdsError: ids that are no training samples, by position.
            ForgottenSampleIdsError: ids that a release has forgotten, by position.
            StaleVersionError: the lineage changed again and again; ask again.
        """
        payload = self.key.of_hold_order(order.lineage, order.treatment.value, order.legal_basis, order.sample_ids)
        # 1. Idempotency
        existing = self.store.hold_by_request(model.tenant, order.request_id)
        if existing is not None:
            return self._same_order(existing, payload)
        # 2. Resolution
        rows = training_rows(self.manifests, model.manifest.digest, order.sample_ids)
        hold = Hold(
            hold_id=f"hld-{uuid.uuid4().hex}",
            tenant=model.tenant,
            lineage=model.lineage,
            request_id=order.request_id,
            payload_digest=payload,
            ids_commitment=self.key.of_sample_ids(order.sample_ids),
            sample_count=len(order.sample_ids),
            legal_basis=order.legal_basis,
            treatment=order.treatment,
            placed_at=self.clock.now(),
            placed_by=actor,
        )
        # 3. Write before acknowledge
        try:
            self._save(hold, order, rows)
        except RequestIdReusedError:
            # The same order, sent twice at once: the other one won.
            other = self.store.hold_by_request(model.tenant, order.request_id)
            if other is None:
                raise
            return self._same_order(other, payload)
        return self._standing(self.get(hold.hold_id, tenant=model.tenant))

    def release(
        self, hold: Hold, *, request_id: str, reason: str, actor: str, expected_version: int | None = None
    ) -> HoldStanding:
        """End a hold; what waited for it goes on by itself. Releasing a released hold gets it back as it is.

        Raises:
            RequestIdReusedError: the request id was used with another hold or reason.
            StaleVersionError: it changed since it was read, or at this moment.
        """
        if hold.release is not None and hold.release.request_id == request_id:
            if hold.release.reason != reason:
                raise _reused(hold)
            return self._standing(hold)
        if expected_version is not None and hold.version != expected_version:
            raise StaleVersionError("the hold changed since it was read: read it again", hold_id=hold.hold_id)
        if hold.state is HoldState.RELEASED:
            return self._standing(hold)
        end = HoldRelease(request_id=request_id, reason=reason, actor=actor, at=self.clock.now())
        released = domain.release(hold, end)
        try:
            self.store.save(Change(holds=(released,), entries=(hold_released(released, end),)))
        except RequestIdReusedError as error:
            raise _reused(hold) from error
        return self._standing(self.get(hold.hold_id, tenant=hold.tenant))

    def get(self, hold_id: str, *, tenant: str) -> Hold:
        """Return a hold of this tenant.

        Raises:
            UnknownHoldError: there is none.
        """
        hold = self.store.hold(hold_id)
        if hold is None or hold.tenant != tenant:
            raise UnknownHoldError("no hold has this id", hold_id=hold_id)
        return hold

    def find(self, query: HoldQuery) -> Sequence[HoldStanding]:
        """Return holds, newest first, each with the open tickets that name a sample of it."""
        found = self.store.holds(query)
        waiting = self.store.waiting_counts([hold.hold_id for hold in found])
        return [HoldStanding(hold=hold, waiting_tickets=waiting.get(hold.hold_id, 0)) for hold in found]

    def held_among(self, lineage: str, sample_ids: Collection[str]) -> int:
        """Return how many of these samples of a lineage are held now."""
        holds = self.store.active_holds(lineage)
        return len({name for hold in holds for name in self.store.held_samples(hold.hold_id)}.intersection(sample_ids))

    def _save(self, hold: Hold, order: HoldOrder, rows: Sequence[int]) -> None:
        for left in reversed(range(_PLACE_TRIES)):
            model = self.store.model(hold.lineage)
            if model is None:
                raise RuntimeError(f"lineage {hold.lineage} was registered and is gone")
            forgotten = self.store.forgotten_rows(hold.lineage)
            positions = tuple(position for position, row in enumerate(rows) if row in forgotten)
            if positions:
                raise ForgottenSampleIdsError(
                    f"{len(positions)} of {len(rows)} ids were forgotten by a release: leave them out, or ask for what "
                    "backups hold",
                    positions=positions,
                )
            change = Change(
                holds=(hold,),
                held_samples=((hold.hold_id, order.sample_ids),),
                models=(model,),
                entries=(hold_placed(hold),),
            )
            try:
                return self.store.save(change)
            except StaleVersionError:
                if not left:
                    raise
        raise RuntimeError("a loop that returns or raises came to its end")

    def _same_order(self, hold: Hold, payload_digest: str) -> HoldStanding:
        if hold.payload_digest != payload_digest:
            raise _reused(hold)
        return self._standing(hold)

    def _standing(self, hold: Hold) -> HoldStanding:
        waiting = self.store.waiting_counts([hold.hold_id])
        return HoldStanding(hold=hold, waiting_tickets=waiting.get(hold.hold_id, 0))


def _reused(hold: Hold) -> RequestIdReusedError:
    return RequestIdReusedError(
        "the request id was used before with another payload: take a new one for a new request", hold_id=hold.hold_id
    )
