"""What the workflow needs of the outside world: each port has adapters and one contract suite over all of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mcu_core.report import AuditReport
from service.domain.canary import Canary
from service.domain.deployment import Deployment
from service.domain.hold import Hold
from service.domain.ledger import LedgerDraft, LedgerEntry, LedgerQuery
from service.domain.manifest import Manifest, ResolvedIds, SelectedSamples
from service.domain.model import Model
from service.domain.purge import ReleasePurge
from service.domain.release import Release
from service.domain.run import FailureKind, RunPhase, UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.ticket import Ticket
from service.domain.ticket_query import TicketQuery
from service.hold_port import HoldStore
from service.store_totals import StoreTotals


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one workflow step saves: all of it or nothing.

    A record of version 0 is inserted; any other replaces the stored one of the same version, and the stored one then
    has the next version. `sample_ids` belong to inserted tickets, `forgotten` are rows that a release has forgotten.
    """

    tickets: tuple[Ticket, ...] = ()
    sample_ids: tuple[tuple[str, tuple[str, ...]], ...] = ()
    runs: tuple[UnlearningRun, ...] = ()
    models: tuple[Model, ...] = ()
    releases: tuple[Release, ...] = ()
    forgotten: tuple[tuple[str, int, tuple[int, ...]], ...] = ()
    """(lineage, release number, rows)."""
    canaries: tuple[tuple[str, tuple[Canary, ...]], ...] = ()
    """(lineage, its canaries), of inserted models."""
    canaries_taken: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    """(lineage, run id, rows): which canaries a run takes; an earlier run's claim on them ends."""
    holds: tuple[Hold, ...] = ()
    held_samples: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(hold id, its sample ids), of inserted holds."""
    deployments: tuple[Deployment, ...] = ()
    """Inserted."""
    purges: tuple[ReleasePurge, ...] = ()
    """Planned ones are inserted, carried out ones replace a planned one."""
    uploads_used: tuple[tuple[str, str], ...] = ()
    """(ticket id, upload id): the ids of an inserted ticket are those of an upload."""
    entries: tuple[LedgerDraft, ...] = ()


class Store(HoldStore, Protocol):
    """Tickets, runs, models, releases, holds and the ledger, in one transaction."""

    def save(self, change: Change) -> None:
        """Save all of a change together with its ledger entries, or nothing.

        Raises:
            StaleVersionError: a record was changed by somebody else since it was read; a lineage has canaries already,
                or lacks one that a run takes; a purge was planned or carried out by somebody else.
            RequestIdReusedError: an inserted ticket's (tenant, request id) is taken, read it with `ticket_by_request`;
                or that of an inserted deployment, of an inserted hold (`hold_by_request`), or the one that a hold was
                released with.
            ActiveRunError: an inserted run's lineage has an active run.
            LineageExistsError: an inserted model's lineage is taken.
            StoreUnavailableError: the database cannot be reached.
        """
        ...

    def ticket(self, ticket_id: str) -> Ticket | None:
        """Return a ticket."""
        ...

    def ticket_by_request(self, tenant: str, request_id: str) -> Ticket | None:
        """Return the ticket that this request made."""
        ...

    def tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        """Return tickets, newest first (received_at, ticket_id descending)."""
        ...

    def open_tickets(self) -> Sequence[Ticket]:
        """Return every ticket that is not in a terminal state, oldest first."""
        ...

    def sample_ids(self, ticket_id: str) -> Sequence[str]:
        """Return a ticket's sample ids in the order of the request."""
        ...

    def model(self, lineage: str) -> Model | None:
        """Return a registered lineage."""
        ...

    def models(self) -> Sequence[Model]:
        """Return every registered lineage, by name."""
        ...

    def run(self, run_id: str) -> UnlearningRun | None:
        """Return a run."""
        ...

    def runs(self, query: RunQuery) -> Sequence[UnlearningRun]:
        """Return runs, newest first (created_at, run_id descending)."""
        ...

    def active_runs(self) -> Sequence[UnlearningRun]:
        """Return every run that still holds its lineage."""
        ...

    def releases(self, lineage: str) -> Sequence[Release]:
        """Return a lineage's releases, newest first."""
        ...

    def forgotten_rows(self, lineage: str) -> dict[int, int]:
        """Return the rows that a lineage has forgotten, each with the number of the release that did it."""
        ...

    def deployments(self, lineage: str) -> Sequence[Deployment]:
        """Return what serving systems said that they run of a lineage, oldest first."""
        ...

    def purges(self, lineage: str) -> Sequence[ReleasePurge]:
        """Return which of a lineage's releases are to be purged or are, by number."""
        ...

    def canaries(self, lineage: str) -> Sequence[Canary]:
        """Return a lineage's canaries by row, with the run that took each last."""
        ...

    def ledger(self, after: int = 0) -> Iterator[LedgerEntry]:
        """Yield the entries after a sequence number, in order."""
        ...

    def ledger_page(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """Return entries, oldest first; no more of the ledger is read than that.

        Raises:
            LedgerBrokenError: an entry says something that none says.
        """
        ...

    def totals(self) -> StoreTotals:
        """Return the counts that the metrics show."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What is known of a stored object without reading it.

    Attributes:
        etag: opaque; changes when the bytes change. For compare-and-swap only.
        sha256: of the bytes, as recorded by the writer.
    """

    key: str
    size: int
    etag: str
    sha256: str


class ObjectStore(Protocol):
    """Immutable objects under keys, and pointers moved by compare-and-swap."""

    def create(self, key: str, data: bytes | Path) -> StoredObject:
        """Write an object that must not exist yet; the same bytes under the same key are a success.

        Raises:
            ObjectExistsError: other bytes are there.
            ObjectStoreUnavailableError: it cannot be written now (full disk included); nothing is left behind.
        """
        ...

    def replace(self, key: str, data: bytes, *, expected_etag: str | None) -> StoredObject:
        """Move a pointer: write if the object still has that etag (`None`: if it does not exist).

        The same bytes being there already is a success: it may be our own write whose answer was lost.

        Raises:
            PointerMovedError: somebody else has moved it.
            ObjectStoreUnavailableError: it cannot be written now.
        """
        ...

    def overwrite(self, key: str, data: bytes) -> None:
        """Write without any condition: for progress, which one attempt alone writes and nothing depends on."""
        ...

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object, `None` where there is none."""
        ...

    def read(self, key: str) -> bytes:
        """Return an object's bytes, checked against its recorded digest.

        Raises:
            ObjectMissingError: there is none.
            DigestMismatchError: the bytes are not those that were written.
        """
        ...

    def download(self, key: str, path: Path) -> StoredObject:
        """Write an object to a file (atomically), checked like `read`."""
        ...

    def keys(self, folder: str) -> Iterator[str]:
        """Yield the keys in a folder and the folders below it, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object, all versions of it; no error where there is none."""
        ...

    def locate(self, key: str) -> str:
        """Return where a person finds the object: a path or a URI."""
        ...


class ManifestSource(Protocol):
    """Reads manifests: Parquet files named by their SHA-256."""

    def inspect(self, digest: str) -> Manifest:
        """Check a manifest and count its rows.

        Raises:
            ManifestError: columns, splits or labels are unusable, or a sample id occurs twice.
            ManifestDigestMismatchError: the bytes have another digest.
            ObjectMissingError: no manifest has this digest.
        """
        ...

    def resolve(self, digest: str, sample_ids: Sequence[str]) -> ResolvedIds:
        """Find the rows of sample ids."""
        ...

    def of_subjects(self, digest: str, subject_ids: Sequence[str]) -> SelectedSamples:
        """Find the training samples of people, each of whom is named once.

        Raises:
            ManifestError: the manifest knows no people.
        """
        ...

    def of_label(self, digest: str, label: int) -> SelectedSamples:
        """Find the training samples of a label."""
        ...


def manifest_key(digest: str) -> str:
    """Return where a manifest lies in the object store."""
    return f"manifests/{digest}.parquet"


def imported_weights_key(digest: str) -> str:
    """Return where weights lie that somebody brought to be registered."""
    return f"weights/{digest}.safetensors"


class JobState(StrEnum):
    """What a runner knows of a job."""

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"
    """It ended and said how (exit code)."""
    LOST = "lost"
    """It ended without a word: killed, or its machine went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """State of a job, with its exit code where it ended."""

    state: JobState
    exit_code: int | None = None


class JobRunner(Protocol):
    """Runs attempts somewhere. A job is named, so that starting it twice starts it once."""

    def start(self, name: str, order_key: str) -> None:
        """Start a job for the work order under this key, unless one of this name was started before."""
        ...

    def observe(self, name: str) -> JobStatus:
        """Return how a job stands."""
        ...

    def cancel(self, name: str) -> None:
        """End a job with grace and wait until it is gone; no error where there is none."""
        ...

    def forget(self, name: str) -> None:
        """Let go of what the runner keeps of an ended job.

        Raises:
            RuntimeError: it is running.
        """
        ...


class DecodedPixels(Protocol):
    """What jobs keep of the images that they decoded."""

    def erase(self, lineage: str, manifest_digest: str, rows: Collection[int]) -> None:
        """Erase rows of a manifest from what a lineage's jobs keep; no error where there is nothing.

        Raises:
            ObjectStoreUnavailableError: it cannot be done now.
        """
        ...


class RunObserver(Protocol):
    """Hears of what cannot be counted from the store afterwards."""

    def phase_ended(self, phase: RunPhase, seconds: float) -> None:
        """A run left a phase after that many seconds."""
        ...

    def run_closed(self, result: RunPhase, failure: FailureKind | None = None) -> None:
        """A run ended, for this reason unless it succeeded."""
        ...

    def candidate_audited(self, report: AuditReport) -> None:
        """A candidate was measured and judged."""
        ...

    def publish_conflict(self) -> None:
        """A pointer or a release was found changed by somebody else."""
        ...
