"""When the weights of a superseded release go: they know what later releases have forgotten."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from service.domain.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePurge:
    """The end of a superseded release's weights.

    Attributes:
        purge_at: when they are to go; what was set stays, whatever the settings say later.
        purged_at: when they went; `None` as long as they are there.
    """

    lineage: str
    number: int
    purge_at: datetime
    purged_at: datetime | None = None


def purges_of(releases: Sequence[Release], window: timedelta) -> Iterator[ReleasePurge]:
    """Yield when the superseded ones among a lineage's releases are to go.

    Args:
        releases: all of them, newest first.
        window: how long after the next release one could still roll back.
    """
    for newer, superseded in pairwise(releases):
        yield ReleasePurge(lineage=superseded.lineage, number=superseded.number, purge_at=newer.created_at + window)
