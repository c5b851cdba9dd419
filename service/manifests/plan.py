"""What a manifest is built from, and the first pass over it: which samples are kept, in which split, as which class."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.manifest import Split
from service.errors import FieldViolation, InvalidRequestError, ManifestError

MAX_ID_LENGTH = 256
"""Characters; what a registered manifest may have."""
MAX_LABEL = 2**31 - 1
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample of a data set.

    Attributes:
        split: `None` where the data set knows none.
        label: a class index, or a class's name.
        load: returns the bytes of its image file; called only for samples that are kept.
        path: of the image file, where there is one.
    """

    sample_id: str
    split: Split | None
    label: int | str
    load: Callable[[], bytes]
    path: Path | None = None
    subject_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSource:
    """A data set.

    Attributes:
        samples: yields all samples, in the same order at each call.
        classes: names of the class indices, where the data set knows them.
    """

    samples: Callable[[], Iterator[Sample]]
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How a manifest is built.

    Attributes:
        by_reference: refer to the image files (absolute `file:` URI and SHA-256) instead of embedding them.
        heldout_share: of each class, for a data set that knows no splits.
        limits: most samples of a split that are kept.
        seed: of the choice of held-out and of kept samples; a sample's fate depends on it and on its id, not on the
            order of the samples.
    """

    by_reference: bool = False
    heldout_share: float | None = None
    limits: Mapping[Split, int] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            InvalidRequestError: a share is not between 0 and 1, or a limit is not positive.
        """
        if self.heldout_share is not None and not 0.0 < self.heldout_share < 1.0:
            raise InvalidRequestError(FieldViolation(field="heldout_share", description="must lie between 0 and 1"))
        if any(limit < 1 for limit in self.limits.values()):
            raise InvalidRequestError(FieldViolation(field="limits", description="must be at least 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the first pass has found.

    Attributes:
        splits: of every sample; `None`: it is left out.
        label_of: class index of every label.
        classes: names of the class indices, where they have any.
    """

    splits: Sequence[Split | None]
    label_of: Mapping[int | str, int]
    classes: tuple[str, ...] | None
    has_subjects: bool


def plan_manifest(source: SampleSource, options: BuildOptions) -> Plan:
    """Look at every sample's id, label and split.

    Raises:
        ManifestError: an id occurs twice or is unusable, a split or label is missing; by count.
        InvalidRequestError: the options do not fit the data set.
    """
    ids: list[str] = []
    labels: list[int | str] = []
    splits: list[Split | None] = []
    subjects = 0
    for sample in source.samples():
        ids.append(sample.sample_id)
        labels.append(sample.label)
        splits.append(sample.split)
        subjects += sample.subject_id is not None
    _check_ids(ids)
    label_of, classes = _class_indices(labels)
    known = _known_splits(ids, [label_of[label] for label in labels], splits, options)
    kept = _limited(ids, known, options)
    if Split.TRAIN not in kept:
        raise ManifestError(f"none of the {len(ids)} samples is in the train split")
    return Plan(splits=kept, label_of=label_of, classes=classes or source.classes, has_subjects=subjects > 0)


def _check_ids(ids: Sequence[str]) -> None:
    if not ids:
        raise ManifestError("the data set has no samples")
    if repeated := len(ids) - len(set(ids)):
        raise ManifestError(f"{repeated} of {len(ids)} samples have the id of an earlier one: ids must be unique")
    if unusable := sum(not _is_id(sample_id) for sample_id in ids):
        raise ManifestError(
            f"{unusable} of {len(ids)} samples have no id, one of more than {MAX_ID_LENGTH} characters, or one that is "
            "no Unicode text"
        )


def _is_id(text: str) -> bool:
    # A lone surrogate comes of a file name in another encoding, or of an escape in JSON.
    return 0 < len(text) <= MAX_ID_LENGTH and not any("\ud800" <= character <= "\udfff" for character in text)


def _class_indices(labels: Sequence[int | str]) -> tuple[dict[int | str, int], tuple[str, ...] | None]:
    """Return the class index of each label: itself if all are whole numbers, otherwise its place among the names."""
    distinct = set(labels)
    if all(isinstance(label, int) or _WHOLE_NUMBER.fullmatch(label) for label in distinct):
        index = {label: int(label) for label in distinct}
        if unusable := sum(not 0 <= index[label] <= MAX_LABEL for label in labels):
            raise ManifestError(f"{unusable} of {len(labels)} samples have a label below 0 or above {MAX_LABEL}")
        return index, None
    if missing := sum(label == "" for label in labels):
        raise ManifestError(f"{missing} of {len(labels)} samples have no label")
    names = sorted({str(label) for label in distinct})
    place = {name: number for number, name in enumerate(names)}
    return {label: place[str(label)] for label in distinct}, tuple(names)


def _known_splits(
    ids: Sequence[str], labels: Sequence[int], splits: Sequence[Split | None], options: BuildOptions
) -> list[Split]:
    without = splits.count(None)
    if 0 < without < len(splits):
        raise ManifestError(f"{without} of {len(splits)} samples have no split")
    if not without:
        if options.heldout_share is not None:
            raise InvalidRequestError(
                FieldViolation(field="heldout_share", description="the data set has its own splits: leave it out")
            )
        return [split for split in splits if split is not None]
    if options.heldout_share is None:
        raise InvalidRequestError(
            FieldViolation(field="heldout_share", description="the data set has no splits: give the share to hold out")
        )
    rows_of: defaultdict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows_of[label].append(row)
    known = [Split.TRAIN] * len(splits)
    for rows in rows_of.values():
        for row in _chosen(ids, rows, round(options.heldout_share * len(rows)), f"heldout {options.seed}"):
            known[row] = Split.HELDOUT
    return known


def _limited(ids: Sequence[str], splits: Sequence[Split], options: BuildOptions) -> list[Split | None]:
    kept: list[Split | None] = list(splits)
    for split, limit in options.limits.items():
        rows = [row for row, of in enumerate(splits) if of is split]
        for row in set(rows) - set(_chosen(ids, rows, limit, f"limit {options.seed}")):
            kept[row] = None
    return kept


def _chosen(ids: Sequence[str], rows: Sequence[int], count: int, key: str) -> list[int]:
    """Return `count` of the rows, as a keyed hash of their ids picks them."""
    return sorted(rows, key=lambda row: hashlib.blake2b(ids[row].encode(), key=key.encode()).digest())[:count]
