"""Planting canaries in a manifest: held-out samples, each trained on or not as a secret fair coin falls."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mcu_core.whole_files import replacing
from service.domain.canary import CanaryRegister, chosen_ids, is_included, wrong_label
from service.domain.manifest import Split
from service.errors import FieldViolation, InvalidRequestError, ManifestError

MAX_SHARE = 0.5
"""Of the held-out samples that may become canaries: the audit compares with the others."""
_FACTS = ("sample_id", "split", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedManifest:
    """A manifest with canaries that was written.

    Attributes:
        train: samples to train on, `included` canaries among them.
        heldout: samples that no model is trained on, without canaries.
        excluded: canaries that no model is trained on.
    """

    path: Path
    digest: str
    commitment: str
    train: int
    heldout: int
    included: int
    excluded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What the rows of a manifest say without their images."""

    ids: list[str]
    splits: list[str]
    labels: list[int]
    eligible: list[str]
    """Ids of held-out samples that can become canaries."""

    @staticmethod
    def read(file: pq.ParquetFile) -> "_Facts":
        names = file.schema_arrow.names
        missing = [name for name in _FACTS if name not in names]
        if missing:
            raise ManifestError(
                f"the manifest lacks the column {', '.join(missing)}: `unlearn manifest build` writes all"
            )
        if not pa.types.is_integer(file.schema_arrow.field("label").type):
            raise ManifestError("the manifest's column label holds no whole numbers")
        columns = [name for name in (*_FACTS, "subject_id") if name in names]
        table = file.read(columns=columns)
        if any(table[name].null_count for name in _FACTS) or pc.count_distinct(table["sample_id"]).as_py() < len(table):
            raise ManifestError("the manifest has rows without id, split or label, or an id twice")
        ids, splits, labels = (table[name].to_pylist() for name in _FACTS)
        if Split.CANARY in splits:
            raise ManifestError("the manifest has canaries already: plant them in the one that it was made of")
        subjects = table["subject_id"].to_pylist() if "subject_id" in columns else [None] * len(ids)
        samples = Counter(subjects)
        # Another sample of the same person would be trained on, or be a non-member, while the canary is not.
        eligible = [
            sample_id
            for sample_id, split, subject in zip(ids, splits, subjects, strict=True)
            if split == Split.HELDOUT and (not subject or samples[subject] == 1)
        ]
        return _Facts(ids=ids, splits=splits, labels=labels, eligible=eligible)


def plant_canaries(
    source: Path,
    target: Path,
    secret: Path,
    *,
    count: int,
    mislabel: bool,
    key: bytes,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PlantedManifest:
    """Write a manifest with canaries and the secret of their coins: both, or neither where something fails.

    1. The key picks `count` held-out samples, none of whose subject there is another sample.
    2. Where `mislabel` says so, each gets a wrong class, whichever way its coin falls: both kinds are alike.
    3. One whose coin falls on 1 gets split `train`, any other one split `canary`. Nothing else changes, neither ids nor
       the order of rows.

    Args:
        source: a manifest.
        target: the manifest to write; replaced if it exists.
        secret: the register to write, readable by its owner only; it must not exist.
        count: how many canaries.
        mislabel: whether their classes are replaced.
        key: 32 secret bytes that nothing else uses.
        progress: called with (rows written, rows in all).

    Raises:
        ManifestError: the source is no manifest, has too few samples that can be canaries, canaries already, or a
            single class.
        InvalidRequestError: the secret exists, or source and target are the same file.
    """
    if secret.exists():
        raise _secret_exists(secret)
    if source.resolve() == target.resolve():
        raise InvalidRequestError(
            FieldViolation(field="--out", description="must be another file: without canaries the source stays useful")
        )
    try:
        with pq.ParquetFile(source) as file:
            facts = _Facts.read(file)
            register = CanaryRegister(key=key, sample_ids=_chosen(facts, count, key), mislabelled=mislabel)
            splits, labels = _decided(facts, register, mislabel=mislabel)
            with _removed_on_failure() as written, replacing(target) as partial:
                _copy(file, partial, splits, labels, progress)
                _write_secret(secret, register.to_bytes())
                written.append(secret)
    except pa.ArrowException:
        # Neither the cause nor its text: Arrow quotes values.
        raise ManifestError(
            f"{source.name} is no manifest that can be read: `unlearn manifest build` makes one"
        ) from None
    with target.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return PlantedManifest(
        path=target,
        digest=digest,
        commitment=register.commitment,
        train=splits.count(Split.TRAIN),
        heldout=splits.count(Split.HELDOUT),
        included=len(register.included_ids),
        excluded=len(register.excluded_ids),
    )


def _chosen(facts: _Facts, count: int, key: bytes) -> tuple[str, ...]:
    heldout = facts.splits.count(Split.HELDOUT)
    most = min(len(facts.eligible), int(MAX_SHARE * heldout))
    if not 1 <= count <= most:
        raise ManifestError(
            f"{count} canaries are asked for; of the manifest's {heldout} held-out samples 1 to {most} can become some "
            f"(at most {MAX_SHARE:.0%}, and none of a person who has another sample)"
        )
    return chosen_ids(key, facts.eligible, count)


def _decided(facts: _Facts, register: CanaryRegister, *, mislabel: bool) -> tuple[list[str], list[int]]:
    """Return split and label of every row."""
    classes = set(facts.labels)
    if mislabel and len(classes) < 2:
        raise ManifestError("the manifest has a single class: there is no wrong one (--keep-label)")
    canaries = set(register.sample_ids)
    splits, labels = list(facts.splits), list(facts.labels)
    for row, sample_id in enumerate(facts.ids):
        if sample_id in canaries:
            splits[row] = (Split.TRAIN if is_included(register.key, sample_id) else Split.CANARY).value
            if mislabel:
                labels[row] = wrong_label(register.key, sample_id, labels[row], classes)
    return splits, labels


def _copy(
    file: pq.ParquetFile,
    target: IO[bytes],
    splits: list[str],
    labels: list[int],
    progress: Callable[[int, int], None],
) -> None:
    """Write a manifest's rows with these splits and labels, one row group in memory at a time."""
    schema = file.schema_arrow
    # Compressing what is compressed already only costs time.
    compression = {name: "none" if name == "image" else "zstd" for name in schema.names}
    done = 0
    with pq.ParquetWriter(target, schema, compression=compression) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for name, values in (("split", splits), ("label", labels)):
                index = schema.get_field_index(name)
                column = pa.array(values[done : done + len(table)]).cast(schema.field(index).type)
                table = table.set_column(index, schema.field(index), column)
            writer.write_table(table)
            done += len(table)
            progress(done, len(splits))


def _write_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _secret_exists(path) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _removed_on_failure() -> Iterator[list[Path]]:
    """Remove the files that were added to the list when the block fails."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _secret_exists(path: Path) -> InvalidRequestError:
    description = f"{path} exists: it may open the commitment of a model that is in use. Choose another name"
    return InvalidRequestError(FieldViolation(field="--secret", description=description))
