"""What the servicers need of the service behind them."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from service.domain.checkpoint import Checkpoint
from service.domain.deployment import Deployment, DeploymentNotice
from service.domain.extension import ExtensionRequest
from service.domain.hold import Hold, HoldOrder, HoldStanding
from service.domain.ledger import LedgerEntry, LedgerQuery
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import ProgressSnapshot, RunOrder, UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.serving import ServingAnswer
from service.domain.submission import Registration, Submission, TicketPreview
from service.domain.ticket import Ticket
from service.domain.ticket_query import TicketQuery
from service.domain.upload import Upload, UploadHeader
from service.hold_port import HoldQuery
from service.release_desk import ReleaseDetails


class Application(Protocol):
    """Answers callers. Every method raises errors of `service.errors`; what another tenant owns is unknown.

    Records are returned as they are stored, so that their version (the etag) is the one that a later read shows.
    """

    def submit_ticket(self, submission: Submission, *, tenant: str, actor: str) -> Ticket:
        """Store a deletion request before it is acknowledged; a repeated one gets its ticket back."""
        ...

    def preview_ticket(self, submission: Submission, *, tenant: str) -> TicketPreview:
        """Check a request as `submit_ticket` does and tell what would come of it."""
        ...

    def upload_sample_ids(self, header: UploadHeader, pieces: Iterable[Sequence[str]], *, tenant: str) -> Upload:
        """Store a set of ids for a later request; the same set under the same request id is the same upload."""
        ...

    def get_ticket(self, ticket_id: str, *, tenant: str) -> Ticket:
        """Return a ticket."""
        ...

    def get_receipt(self, ticket_id: str, *, tenant: str) -> bytes:
        """Return the signed receipt of a ticket, a DSSE envelope."""
        ...

    def list_tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        """Return tickets, newest first."""
        ...

    def cancel_ticket(self, ticket_id: str, *, tenant: str, actor: str, expected_version: int | None = None) -> Ticket:
        """Withdraw a ticket whose run has not started; cancelling twice is cancelling once.

        With an expected version, only if the ticket still has it.
        """
        ...

    def place_hold(self, order: HoldOrder, *, tenant: str, actor: str) -> HoldStanding:
        """Put samples under a hold; a repeated order gets its hold back."""
        ...

    def release_hold(
        self,
        hold_id: str,
        *,
        request_id: str,
        reason: str,
        tenant: str,
        actor: str,
        expected_version: int | None = None,
    ) -> HoldStanding:
        """End a hold; a released one is returned as it is. With an expected version, only if it still has it."""
        ...

    def get_hold(self, hold_id: str, *, tenant: str) -> Hold:
        """Return a hold."""
        ...

    def list_holds(self, query: HoldQuery) -> Sequence[HoldStanding]:
        """Return holds, newest first."""
        ...

    def extend_ticket(
        self,
        ticket_id: str,
        request: ExtensionRequest,
        *,
        tenant: str,
        actor: str,
        expected_version: int | None = None,
    ) -> Ticket:
        """Move a ticket's due time; the same request once more has no second effect.

        With an expected version, only if the ticket still has it.
        """
        ...

    def register_model(self, registration: Registration, *, tenant: str, actor: str) -> Model:
        """Register a lineage; the same registration once more gets the model back."""
        ...

    def get_model(self, lineage: str, *, tenant: str) -> Model:
        """Return a lineage."""
        ...

    def list_releases(self, lineage: str, *, tenant: str) -> Sequence[Release]:
        """Return a lineage's releases, newest first."""
        ...

    def get_release(self, lineage: str, number: int, *, tenant: str) -> ReleaseDetails:
        """Return a release of a lineage; 0 is the current one."""
        ...

    def acknowledge_deployment(
        self, lineage: str, notice: DeploymentNotice, *, tenant: str, actor: str
    ) -> tuple[Release, Deployment]:
        """Record what a serving system runs; the same notice again has no second effect."""
        ...

    def check_lineage(
        self, lineage: str, *, tenant: str, number: int | None = None, weights_digest: str | None = None
    ) -> tuple[Model, ServingAnswer]:
        """Return a lineage, and whether a release of it, or any weights, may serve."""
        ...

    def get_run(self, run_id: str, *, tenant: str) -> UnlearningRun:
        """Return a run."""
        ...

    def list_runs(self, query: RunQuery) -> Sequence[UnlearningRun]:
        """Return runs, newest first."""
        ...

    def retry_run(
        self, run_id: str, order: RunOrder, *, tenant: str, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        """Have a failed run's tickets scheduled again and return the run; the same order again has no second effect.

        With an expected version, only if the run still has it.
        """
        ...

    def escalate_run(
        self, run_id: str, order: RunOrder, *, tenant: str, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        """Move a run up its ladder and return it; the same order again has no second effect.

        With an expected version, only if the run still has it.
        """
        ...

    def get_report(self, run_id: str, *, tenant: str, suffix: Literal["json", "html"]) -> bytes:
        """Return a run's report."""
        ...

    def progress(self, run_id: str) -> ProgressSnapshot | None:
        """Return the latest progress of a run's active attempt."""
        ...

    def list_entries(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """Return entries of the ledger, oldest first."""
        ...

    def get_checkpoint(self, number: int) -> Checkpoint:
        """Return a checkpoint of the ledger; number 0 is the newest."""
        ...

    def release_location(self, release: Release) -> str:
        """Return where a person finds a release's weights."""
        ...

    def report_location(self, run_id: str, *, suffix: Literal["json", "html"]) -> str:
        """Return where a person finds a run's report."""
        ...
