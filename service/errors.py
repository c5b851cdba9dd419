"""Errors of the service. Messages carry counts, positions and digests, never an id of a sample or a subject."""

from dataclasses import dataclass


class ServiceError(Exception):
    """Base of everything that the service raises on purpose."""

    def __init__(self, message: str, **metadata: str) -> None:
        """Keep the message for people and the metadata for machines (both reach the caller)."""
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class TemporaryError(ServiceError):
    """The same call can succeed later; the reconciler retries it."""

    retry_after_seconds: float = 1.0


class PermanentError(ServiceError):
    """The same call cannot succeed: a person must change something."""


# Temporary


class StoreUnavailableError(TemporaryError):
    """The database cannot be reached or is locked."""


class ObjectStoreUnavailableError(TemporaryError):
    """The object store cannot be reached or cannot write (full disk, throttling)."""


class StaleVersionError(TemporaryError):
    """A record changed since it was read; read it again and decide anew."""


class ActiveRunError(TemporaryError):
    """The lineage has an unlearning run already; one at a time."""


class ServerOverloadedError(TemporaryError):
    """The server has as many calls or watchers as it can serve."""


# Permanent, in a request


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One field of a request that cannot be used."""

    field: str
    description: str


class InvalidRequestError(PermanentError):
    """A request breaks the contract."""

    def __init__(self, *violations: FieldViolation) -> None:
        """Name every field that is wrong."""
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in violations))
        self.violations = violations


class RequestIdReusedError(PermanentError):
    """The request id was used before with another payload."""


class UnknownLineageError(PermanentError):
    """No model is registered under this lineage."""


class LineageExistsError(PermanentError):
    """The lineage is registered already with something else."""


class UnknownTicketError(PermanentError):
    """No such ticket, or it belongs to another tenant."""


class UnknownRunError(PermanentError):
    """No such run."""


class UnknownHoldError(PermanentError):
    """No such hold, or it belongs to another tenant."""


class UnknownReportError(PermanentError):
    """The run has no report (yet)."""


class UnknownCheckpointError(PermanentError):
    """The ledger has no such checkpoint (yet)."""


class UnknownSampleIdsError(PermanentError):
    """Some ids are not training samples of the lineage's manifest."""

    def __init__(self, message: str, *, positions: tuple[int, ...], **metadata: str) -> None:
        """Keep the positions of the unknown ids in the request, never the ids."""
        super().__init__(message, **metadata)
        self.positions = positions


class DuplicateSampleIdsError(UnknownSampleIdsError):
    """Some ids occur more than once in one request."""


class ForgottenSampleIdsError(UnknownSampleIdsError):
    """Some ids of a hold were forgotten already: nothing can hold them any more."""


class HoldActiveError(PermanentError):
    """A hold that is active forbids it."""


class EmptyForgetSetError(PermanentError):
    """A ticket must name at least one sample."""


class ForgetSetTooLargeError(PermanentError):
    """Forgetting this many samples would leave nothing to keep; retrain the model instead."""


class TicketNotCancellableError(PermanentError):
    """The ticket's run has started or the ticket is closed."""


class UnknownReleaseError(PermanentError):
    """The lineage has no release of this number."""


class UnknownWeightsError(PermanentError):
    """The weights are no release of the lineage."""


class ResurrectsForgottenSamplesError(PermanentError):
    """These weights would bring back samples that a lineage has forgotten."""


class RunNotRetryableError(PermanentError):
    """The run has not failed, or nothing of it waits for a person any more."""


class RunNotEscalatableError(PermanentError):
    """The run cannot go to that rung of its ladder, or not now."""


class UnknownSubjectIdsError(UnknownSampleIdsError):
    """Some people have no training sample in the lineage's manifest."""


class UnknownUploadError(PermanentError):
    """No such upload, or it was for another lineage, is not complete or was erased."""


class UploadIncompleteError(PermanentError):
    """An upload ended with another number of ids than it had promised."""


class TicketNotExtendableError(PermanentError):
    """The ticket is closed: its clock has stopped."""


class ExtensionNotAllowedError(PermanentError):
    """The law does not let the due time move like that."""


# Permanent, in things that do not fit together


class ManifestError(PermanentError):
    """A manifest cannot be used: columns, duplicate ids, splits or labels."""


class ManifestDigestMismatchError(PermanentError):
    """The manifest's bytes are not those that its digest promises."""


class WeightsError(PermanentError):
    """A weights file is truncated, hostile, or does not fit the architecture."""


class DigestMismatchError(PermanentError):
    """Bytes that were read back are not the bytes that were promised."""


class ObjectMissingError(PermanentError):
    """An object that must exist does not."""


class ObjectExistsError(PermanentError):
    """A create-only write found other bytes under its key."""


class PointerMovedError(PermanentError):
    """The pointer was moved by somebody else: compare-and-swap failed."""


class UnsafeObjectStoreError(PermanentError):
    """The object store ignores conditional writes; publishing on it could lose a release."""


class BaselineMismatchError(PermanentError):
    """The model does not reach the registered accuracy on its own training data."""


class LedgerBrokenError(PermanentError):
    """An entry of the ledger does not follow from the one before it."""


class AuditNotPassedError(PermanentError):
    """Something asked to publish a candidate that the audit did not accept."""


class NotRecomputableError(PermanentError):
    """The scores of an audit are not such that its evidence could be computed from them."""


class SignatureError(PermanentError):
    """A key cannot be used, or an envelope is not what its key signed."""


class BundleError(PermanentError):
    """A bundle of evidence cannot be read or written: hostile, damaged, too large."""


class PremiseError(PermanentError):
    """What an audit rests on is gone, or is not what its plan committed to."""


class ServiceRunningError(PermanentError):
    """Another service works on this data directory."""
