"""A manifest with canaries in memory, and the register that opens their coins."""

from collections.abc import Sequence

from service.domain.canary import CanaryRegister, is_included
from service.domain.manifest import Split
from tests.memory_manifests import ROWS, MemoryManifestSource, Row

COIN_KEY = bytes(range(32))
CANARY_IDS = tuple(f"canary-{number:02d}" for number in range(16))
REGISTER = CanaryRegister(key=COIN_KEY, sample_ids=CANARY_IDS)
MANY_IDS = tuple(f"canary-{number:02d}" for number in range(48))
MANY = CanaryRegister(key=COIN_KEY, sample_ids=MANY_IDS)
"""Enough for several runs."""


def _rows(sample_ids: Sequence[str]) -> tuple[Row, ...]:
    return tuple(
        Row(sample_id=sample_id, split=Split.TRAIN if is_included(COIN_KEY, sample_id) else Split.CANARY)
        for sample_id in sample_ids
    )


# Between the others, so that nobody can mistake the order of rows for a part.
PLANTED_ROWS = (*ROWS[:12], *_rows(CANARY_IDS), *ROWS[12:])
# After the others, so that those have the rows that they have without canaries.
APPENDED_ROWS = (*ROWS, *_rows(MANY_IDS))


def planted() -> MemoryManifestSource:
    """Return a manifest with canaries."""
    return MemoryManifestSource(PLANTED_ROWS)


def planted_row_of(sample_id: str) -> int:
    """Return the row of a sample in that manifest."""
    return next(number for number, row in enumerate(PLANTED_ROWS) if row.sample_id == sample_id)


INCLUDED_ROWS = tuple(planted_row_of(sample_id) for sample_id in REGISTER.included_ids)
EXCLUDED_ROWS = tuple(planted_row_of(sample_id) for sample_id in REGISTER.excluded_ids)
