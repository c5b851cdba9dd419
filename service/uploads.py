"""Receives sets of sample ids that are too large for one message, and keeps them until a ticket uses them."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from service.domain.commitment import CommitmentKey
from service.domain.upload import Upload, UploadHeader
from service.errors import (
    DuplicateSampleIdsError,
    FieldViolation,
    InvalidRequestError,
    RequestIdReusedError,
    UnknownUploadError,
    UploadIncompleteError,
)
from service.ports import Clock


class UploadStore(Protocol):
    """Where uploads are kept: the store's, so that a ticket and its use of an upload are saved together."""

    def begin_upload(self, upload: Upload) -> None:
        """Save an upload that has no ids yet."""
        ...

    def extend_upload(self, upload_id: str, first: int, sample_ids: Sequence[str]) -> None:
        """Save further ids; `first` is the position of the first of them."""
        ...

    def finish_upload(self, upload: Upload) -> None:
        """Save that an upload is complete.

        Raises:
            RequestIdReusedError: a complete one has its (tenant, request id).
        """
        ...

    def drop_upload(self, upload_id: str) -> None:
        """Erase an upload that no ticket uses; no error where there is none."""
        ...

    def upload(self, upload_id: str) -> Upload | None:
        """Return an upload."""
        ...

    def upload_by_request(self, tenant: str, request_id: str) -> Upload | None:
        """Return the complete upload that this request made."""
        ...

    def uploaded_ids(self, upload_id: str) -> Iterator[Sequence[str]]:
        """Yield an upload's ids in the order in which they came, a piece at a time."""
        ...

    def erase_uploads(self, now: datetime) -> int:
        """Erase what has expired and no ticket uses; return how many uploads that were."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOffice:
    """Receives uploads."""

    store: UploadStore
    clock: Clock
    key: CommitmentKey
    most_ids: int
    """Of one upload."""
    keep: timedelta
    """How long an upload waits for its ticket."""

    def receive(self, header: UploadHeader, pieces: Iterable[Sequence[str]], *, tenant: str) -> Upload:
        """Store a set of ids; the same set under the same request id is the same upload.

        1. Pieces are saved as they come, under an upload of this stream alone: a broken stream leaves what expires.
        2. The set must be whole, and name each id once.
        3. It is complete, unless another stream of the same request was first.

        Raises:
            InvalidRequestError: it promises no ids, or too many.
            UploadIncompleteError: fewer or more ids came than it had promised.
            DuplicateSampleIdsError: ids named twice, by position.
            RequestIdReusedError: the request id made another set.
        """
        if not 1 <= header.sample_count <= self.most_ids:
            description = f"must be 1 to {self.most_ids}"
            raise InvalidRequestError(FieldViolation(field="header.sample_count", description=description))
        now = self.clock.now()
        upload = Upload(
            upload_id=f"upl-{uuid.uuid4().hex}",
            tenant=tenant,
            header=header,
            created_at=now,
            expires_at=now + self.keep,
        )
        self.store.begin_upload(upload)
        is_kept = False
        try:
            # 1. Pieces
            ids = self._save(upload, pieces)
            # 2. Whole, and each once
            _check_whole(ids, header.sample_count)
            complete = replace(upload, ids_commitment=self.key.of_sample_ids(ids))
            # 3. Complete
            try:
                self.store.finish_upload(complete)
            except RequestIdReusedError:
                return self._same(complete)
            is_kept = True
            return complete
        finally:
            if not is_kept:
                self.store.drop_upload(upload.upload_id)

    def sample_ids(self, upload_id: str, *, tenant: str, lineage: str) -> tuple[str, ...]:
        """Return the ids of a complete upload.

        Raises:
            UnknownUploadError: there is none of this tenant for this lineage.
        """
        upload = self.store.upload(upload_id)
        is_usable = upload is not None and upload.is_complete and self.clock.now() < upload.expires_at
        if upload is None or not is_usable or (upload.tenant, upload.header.lineage) != (tenant, lineage):
            raise UnknownUploadError(
                "no complete upload for this model has this id, or it was erased", upload_id=upload_id
            )
        return tuple(sample_id for piece in self.store.uploaded_ids(upload_id) for sample_id in piece)

    def sweep(self) -> None:
        """Erase what has expired and no ticket uses."""
        self.store.erase_uploads(self.clock.now())

    def _save(self, upload: Upload, pieces: Iterable[Sequence[str]]) -> list[str]:
        ids: list[str] = []
        for piece in pieces:
            if len(ids) + len(piece) > upload.header.sample_count:
                raise UploadIncompleteError(f"more than the promised {upload.header.sample_count} ids came")
            self.store.extend_upload(upload.upload_id, len(ids), piece)
            ids.extend(piece)
        return ids

    def _same(self, upload: Upload) -> Upload:
        other = self.store.upload_by_request(upload.tenant, upload.header.request_id)
        if other is None or (other.header, other.ids_commitment) != (upload.header, upload.ids_commitment):
            raise RequestIdReusedError("the request id made another upload: take a new one for a new set")
        return other


def _check_whole(ids: Sequence[str], promised: int) -> None:
    if len(ids) != promised:
        raise UploadIncompleteError(f"{len(ids)} of the promised {promised} ids came: send the set again")
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    repeated = []
    for position, sample_id in enumerate(ids):
        if sample_id in seen:
            repeated.append(position)
        seen.add(sample_id)
    raise DuplicateSampleIdsError(f"{len(repeated)} of {len(ids)} ids repeat an earlier one", positions=tuple(repeated))
