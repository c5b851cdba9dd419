"""What serving systems ask and say of releases."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.deployment import Deployment, DeploymentNotice, newest_served
from service.domain.entries import deployed, ticket_changed
from service.domain.model import Model
from service.domain.purge import purges_of
from service.domain.release import Release, evidence_key
from service.domain.serving import ServingAnswer
from service.domain.ticket import TicketEvent, TicketState, advance
from service.errors import (
    RequestIdReusedError,
    ResurrectsForgottenSamplesError,
    UnknownReleaseError,
    UnknownWeightsError,
)
from service.evidence import REPORT_ENVELOPE
from service.ports import Change, Clock, ObjectStore, Store
from service.serving import answer, release_of_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDetails:
    """A release and what became of it.

    Attributes:
        attestation: DSSE envelope over its report; empty for the registered model.
        purge_at: when its weights go or went; `None` while it is current.
    """

    release: Release
    attestation: bytes
    is_current: bool
    purge_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDesk:
    """Answers serving systems."""

    store: Store
    objects: ObjectStore
    clock: Clock
    rollback_window: timedelta

    def details(self, model: Model, number: int) -> ReleaseDetails:
        """Return a release; 0 is the current one.

        Raises:
            UnknownReleaseError: there is none of this number.
        """
        releases, wanted = self.store.releases(model.lineage), number or model.current_release
        release = next((release for release in releases if release.number == wanted), None)
        if release is None:
            text = f"the lineage has no release {wanted}"
            raise UnknownReleaseError(text, lineage=model.lineage, release=str(wanted))
        planned = {purge.number: purge for purge in purges_of(releases, self.rollback_window)}
        purge = {**planned, **{purge.number: purge for purge in self.store.purges(model.lineage)}}.get(wanted)
        envelope = b""
        if release.run_id is not None:
            envelope = self.objects.read(evidence_key(model.lineage, release.run_id, REPORT_ENVELOPE))
        return ReleaseDetails(
            release=release,
            attestation=envelope,
            is_current=wanted == model.current_release,
            purge_at=None if purge is None else purge.purged_at or purge.purge_at,
        )

    def check(self, model: Model, *, number: int | None = None, weights_digest: str | None = None) -> ServingAnswer:
        """Return whether a release, or any weights, may serve."""
        return answer(self.store, model, number=number, weights_digest=weights_digest)

    def acknowledge(self, model: Model, notice: DeploymentNotice, *, actor: str) -> tuple[Release, Deployment]:
        """Record what a serving system runs; published tickets up to that release succeed by it.

        1. A repeated notice gets the same answer. 2. The weights must be a release, and none that goes back. 3. Notice,
        tickets and ledger entries are saved together.

        Raises:
            RequestIdReusedError: the request id was used for another notice.
            UnknownWeightsError: the weights are no release of this lineage.
            ResurrectsForgottenSamplesError: this serving system has run a newer release before, or the weights are
                purged.
        """
        releases, known = self.store.releases(model.lineage), self.store.deployments(model.lineage)
        # 1. Idempotency
        repeated = next((each for each in known if each.request_id == notice.request_id), None)
        if repeated is not None:
            if repeated.notice != notice:
                raise RequestIdReusedError("the request id was used before for another deployment: take a new one")
            return next(each for each in releases if each.number == repeated.release_number), repeated
        # 2. Weights
        release = release_of_weights(releases, notice.weights_digest)
        if release is None:
            text = "these weights are no release of this lineage: do not serve them"
            raise UnknownWeightsError(text, lineage=model.lineage, weights=notice.weights_digest)
        self._require_forward(model, release, newest_served(each for each in known if each.name == notice.name))
        # 3. Save
        now, event = self.clock.now(), TicketEvent.TAKE_EFFECT
        tickets = [
            ticket
            for ticket in self.store.open_tickets()
            if ticket.lineage == model.lineage
            and ticket.state is TicketState.PUBLISHED
            and (ticket.release_number or 0) <= release.number
        ]
        closed = [advance(ticket, event, now) for ticket in tickets]
        deployment = Deployment(
            tenant=model.tenant,
            request_id=notice.request_id,
            lineage=model.lineage,
            name=notice.name,
            weights_digest=notice.weights_digest,
            release_number=release.number,
            deployed_at=notice.deployed_at,
            acknowledged_at=now,
            closed_ticket_ids=tuple(ticket.ticket_id for ticket in closed),
        )
        changes = zip(tickets, closed, strict=True)
        entries = (
            deployed(deployment, len(closed), actor),
            *(ticket_changed(before, after, event, actor, now) for before, after in changes),
        )
        self.store.save(Change(tickets=tuple(closed), deployments=(deployment,), entries=entries))
        return release, deployment

    def _require_forward(self, model: Model, release: Release, served: int) -> None:
        purged = {each.number for each in self.store.purges(model.lineage) if each.purged_at is not None}
        if release.number < served or release.number in purged:
            text = answer(self.store, model, number=release.number).text
            raise ResurrectsForgottenSamplesError(text, lineage=model.lineage, release=str(release.number))
