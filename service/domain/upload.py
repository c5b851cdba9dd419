"""A set of sample ids that was sent before the request that uses it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadHeader:
    """What an upload says of itself before it begins.

    Attributes:
        sample_count: how many ids will follow.
    """

    request_id: str
    lineage: str
    sample_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload; its ids lie in the store beside it, never in it.

    Attributes:
        expires_at: when it is erased unless a ticket uses it.
        ids_commitment: keyed commitment to the set of ids, once all of them are there.
    """

    upload_id: str
    tenant: str
    header: UploadHeader
    created_at: datetime
    expires_at: datetime
    ids_commitment: str | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether every id is there."""
        return self.ids_commitment is not None
