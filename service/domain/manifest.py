"""One version of a lineage's data set."""

from dataclasses import dataclass
from enum import StrEnum


class Split(StrEnum):
    """Values of a manifest's `split` column."""

    TRAIN = "train"
    HELDOUT = "heldout"
    """Never trained on; split further into D_v, D_t and the sealed non-members by keyed hash."""
    CANARY = "canary"
    """A canary whose coin kept it out: never trained on, and of no held-out part. One that is in has split `train`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the service knows of a manifest whose bytes it has checked.

    Attributes:
        digest: SHA-256 of the Parquet file.
        rows: samples in it; a row number, counted from 0 in file order, names a sample within the service.
        label_max: largest label.
        canary_rows: canaries that were kept out of training.
    """

    digest: str
    rows: int
    train_rows: int
    heldout_rows: int
    label_max: int
    canary_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedSamples:
    """Training samples that a request named otherwise than by their ids.

    Attributes:
        sample_ids: in the order of the manifest.
        unknown_positions: positions in the request of what has no training sample.
    """

    sample_ids: tuple[str, ...]
    unknown_positions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedIds:
    """Rows of the ids of one request.

    Attributes:
        rows: row numbers of known training samples, in the order of the request.
        unknown_positions: positions in the request of ids that the manifest does not have.
        heldout_positions: positions of ids that the manifest has but no model was trained on.
        canary_rows: row numbers of canaries that were kept out of training, in the order of the request; their
            positions are among `heldout_positions`.
    """

    rows: tuple[int, ...]
    unknown_positions: tuple[int, ...]
    heldout_positions: tuple[int, ...]
    canary_rows: tuple[int, ...] = ()
