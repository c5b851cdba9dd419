"""What the servicers need of the service behind them."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from service.domain.checkpoint import Checkpoint
from service.domain.extension import ExtensionRequest
from service.domain.ledger import LedgerEntry, LedgerQuery
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import ProgressSnapshot, UnlearningRun
from service.domain.submission import Registration, Submission, TicketPreview
from service.domain.ticket import Ticket
from service.domain.upload import Upload, UploadHeader
from service.ports import TicketQuery


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

    def get_run(self, run_id: str, *, tenant: str) -> UnlearningRun:
        """Return a run."""
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
