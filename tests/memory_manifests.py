"""A manifest in memory; `tests/contract/test_memory_manifests.py` holds it against the real ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.manifest import Manifest, ResolvedIds, SelectedSamples, Split
from service.errors import ManifestError, ObjectMissingError
from tests.records import digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a manifest."""

    sample_id: str
    split: Split
    label: int = 0
    subject_id: str | None = None


TRAIN = tuple(f"train-{number:02d}" for number in range(20))
HELDOUT = tuple(f"heldout-{number:02d}" for number in range(10))
# Row numbers differ from positions within a split, so that nobody can mistake one for the other.
ROWS = tuple(
    Row(sample_id=sample_id, split=split, label=number % 10)
    for split, ids in ((Split.HELDOUT, HELDOUT[:5]), (Split.TRAIN, TRAIN), (Split.HELDOUT, HELDOUT[5:]))
    for number, sample_id in enumerate(ids)
)


def row_of(sample_id: str) -> int:
    """Return the row of a sample in `ROWS`."""
    return next(number for number, row in enumerate(ROWS) if row.sample_id == sample_id)


class MemoryManifestSource:
    """One manifest as a list of rows, searched the obvious way."""

    def __init__(self, rows: Sequence[Row] = ROWS) -> None:
        self._rows = tuple(rows)
        self.digest = digest_of(repr(self._rows))

    def inspect(self, digest: str) -> Manifest:
        rows = self._found(digest)
        splits = Counter(row.split for row in rows)
        return Manifest(
            digest=digest,
            rows=len(rows),
            train_rows=splits[Split.TRAIN],
            heldout_rows=splits[Split.HELDOUT],
            label_max=max(row.label for row in rows),
            canary_rows=splits[Split.CANARY],
        )

    def resolve(self, digest: str, sample_ids: Sequence[str]) -> ResolvedIds:
        known = {row.sample_id: (number, row.split) for number, row in enumerate(self._found(digest))}
        hits = [(position, known.get(sample_id)) for position, sample_id in enumerate(sample_ids)]
        return ResolvedIds(
            rows=tuple(hit[0] for _, hit in hits if hit is not None and hit[1] is Split.TRAIN),
            unknown_positions=tuple(position for position, hit in hits if hit is None),
            heldout_positions=tuple(p for p, hit in hits if hit is not None and hit[1] is not Split.TRAIN),
            canary_rows=tuple(hit[0] for _, hit in hits if hit is not None and hit[1] is Split.CANARY),
        )

    def of_subjects(self, digest: str, subject_ids: Sequence[str]) -> SelectedSamples:
        rows = [row for row in self._found(digest) if row.split is Split.TRAIN]
        if all(row.subject_id is None for row in self._rows):
            raise ManifestError("the manifest has no column subject_id")
        known = {row.subject_id for row in rows}
        return SelectedSamples(
            sample_ids=tuple(row.sample_id for row in rows if row.subject_id in set(subject_ids)),
            unknown_positions=tuple(at for at, subject in enumerate(subject_ids) if subject not in known),
        )

    def of_label(self, digest: str, label: int) -> SelectedSamples:
        rows = self._found(digest)
        return SelectedSamples(
            sample_ids=tuple(row.sample_id for row in rows if row.split is Split.TRAIN and row.label == label)
        )

    def _found(self, digest: str) -> tuple[Row, ...]:
        if digest != self.digest:
            raise ObjectMissingError(f"manifest {digest} does not exist")
        return self._rows
