"""Which samples a request is about, however it names them."""

from dataclasses import dataclass
from typing import assert_never

from service.domain.commitment import CommitmentKey
from service.domain.model import Model
from service.domain.submission import ByLabel, BySubjects, ByUpload, Submission
from service.domain.ticket import IdSource
from service.errors import DuplicateSampleIdsError, EmptyForgetSetError, UnknownSubjectIdsError
from service.ports import ManifestSource
from service.uploads import UploadOffice


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Turns what a request names into sample ids."""

    manifests: ManifestSource
    key: CommitmentKey
    uploads: UploadOffice

    def request_digest(self, submission: Submission) -> str:
        """Return the digest by which a repeated request is told from a reused request id; nothing is looked up."""
        lineage, regime = submission.lineage, submission.regime.value
        match submission.selection:
            case None:
                return self.key.of_request(lineage, regime, submission.sample_ids)
            case BySubjects(subject_ids=named):
                return self.key.of_selection(lineage, regime, IdSource.SUBJECTS.value, named)
            case ByLabel(label=label):
                return self.key.of_selection(lineage, regime, IdSource.LABEL.value, [str(label)])
            case ByUpload(upload_id=upload_id):
                return self.key.of_selection(lineage, regime, IdSource.UPLOAD.value, [upload_id])
            case _:
                assert_never(submission.selection)

    def sample_ids(self, submission: Submission, model: Model) -> tuple[str, ...]:
        """Return the ids of the samples.

        Raises:
            DuplicateSampleIdsError: people named twice, by position.
            UnknownSubjectIdsError: people without a training sample, by position.
            EmptyForgetSetError: no training sample has the label.
            UnknownUploadError: there is no such upload for this lineage.
            ManifestError: the manifest knows no people.
        """
        match submission.selection:
            case None:
                return submission.sample_ids
            case BySubjects(subject_ids=named):
                return self._of_subjects(named, model)
            case ByLabel(label=label):
                found = self.manifests.of_label(model.manifest.digest, label).sample_ids
                if not found:
                    raise EmptyForgetSetError(f"no training sample of the manifest has label {label}")
                return found
            case ByUpload(upload_id=upload_id):
                return self.uploads.sample_ids(upload_id, tenant=model.tenant, lineage=model.lineage)
            case _:
                assert_never(submission.selection)

    def commitment(self, submission: Submission, sample_ids: tuple[str, ...]) -> str:
        """Return the commitment to a request's samples; an upload has had its own since it was complete."""
        if isinstance(submission.selection, ByUpload):
            upload = self.uploads.store.upload(submission.selection.upload_id)
            if upload is not None and upload.ids_commitment is not None:
                return upload.ids_commitment
        return self.key.of_sample_ids(sample_ids)

    def _of_subjects(self, named: tuple[str, ...], model: Model) -> tuple[str, ...]:
        first = {subject: position for position, subject in reversed(list(enumerate(named)))}
        repeated = tuple(position for position, subject in enumerate(named) if first[subject] != position)
        if repeated:
            raise DuplicateSampleIdsError(
                f"{len(repeated)} of {len(named)} subject ids repeat an earlier one", positions=repeated
            )
        found = self.manifests.of_subjects(model.manifest.digest, named)
        if found.unknown_positions:
            raise UnknownSubjectIdsError(
                f"{len(found.unknown_positions)} of {len(named)} subject ids have no training sample in the manifest",
                positions=found.unknown_positions,
            )
        return found.sample_ids


def source_of(submission: Submission) -> IdSource:
    """Return how a request names its samples."""
    match submission.selection:
        case None:
            return IdSource.INLINE
        case BySubjects():
            return IdSource.SUBJECTS
        case ByLabel():
            return IdSource.LABEL
        case ByUpload():
            return IdSource.UPLOAD
        case _:
            assert_never(submission.selection)
