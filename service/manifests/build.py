"""Building a manifest from a data set: two passes over its samples, with one row group in memory at a time."""

import hashlib
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from service.domain.manifest import Split
from service.errors import FieldViolation, InvalidRequestError, ManifestError
from service.manifests.plan import BuildOptions, Plan, Sample, SampleSource, plan_manifest

ROW_GROUP_BYTES = 32 * 1024 * 1024
"""Images held before they are written, and read at once later."""
ROW_GROUP_ROWS = 65_536
"""Rows held where the images are only referred to."""
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""Formats that are decoded; every further one is code that hostile bytes can reach."""
_KEPT_FORMATS = frozenset({"PNG", "JPEG"})
"""Formats whose bytes are kept as they are; others are written as PNG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltManifest:
    """A manifest that was written.

    Attributes:
        counts: (split, class index) and samples of it, sorted.
        classes: names of the class indices, where they have any.
    """

    path: Path
    digest: str
    rows: int
    counts: tuple[tuple[Split, int, int], ...]
    classes: tuple[str, ...] | None


def build_manifest(
    source: SampleSource,
    target: Path,
    options: BuildOptions,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> BuiltManifest:
    """Write a manifest: completely or not at all.

    Args:
        source: read twice: to see ids, labels and splits, then to write what is kept.
        target: the Parquet file; replaced if it exists.
        options: what is kept and how.
        progress: called with (samples written, samples in all).

    Raises:
        ManifestError: an id occurs twice, a split or label is missing, an image cannot be decoded; told by count
            or position.
        InvalidRequestError: the options do not fit the data set.
    """
    plan = plan_manifest(source, options)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            counts = _write(source, plan, options, file, progress)
            file.flush()
            os.fsync(file.fileno())
        with temporary.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return BuiltManifest(
        path=target,
        digest=digest,
        rows=counts.total(),
        counts=tuple(sorted((split, label, count) for (split, label), count in counts.items())),
        classes=plan.classes,
    )


def _write(
    source: SampleSource,
    plan: Plan,
    options: BuildOptions,
    file: io.BufferedWriter,
    progress: Callable[[int, int], None],
) -> Counter[tuple[Split, int]]:
    total = len(plan.splits) - plan.splits.count(None)
    counts: Counter[tuple[Split, int]] = Counter()
    schema = _schema(plan, options)
    # Compressing what is compressed already only costs time.
    compression = {name: "none" if name == "image" else "zstd" for name in schema.names}
    rows: list[dict[str, object]] = []
    held_bytes = 0
    with pq.ParquetWriter(file, schema, compression=compression) as writer:
        for position, (sample, split) in enumerate(_in_step(source, plan)):
            if split is None:
                continue
            row, size = _row(sample, split, position, plan, options)
            rows.append(row)
            counts[split, plan.label_of[sample.label]] += 1
            held_bytes += size
            if held_bytes >= ROW_GROUP_BYTES or len(rows) >= ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows, held_bytes = [], 0
            progress(counts.total(), total)
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return counts


def _in_step(source: SampleSource, plan: Plan) -> Iterator[tuple[Sample, Split | None]]:
    try:
        yield from zip(source.samples(), plan.splits, strict=True)
    except ValueError as error:
        raise ManifestError("the data set changed while it was read") from error


def _schema(plan: Plan, options: BuildOptions) -> pa.Schema:
    fields = [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
    ]
    if plan.has_subjects:
        fields.append(pa.field("subject_id", pa.string()))
    if options.by_reference:
        fields += [pa.field("uri", pa.string(), nullable=False), pa.field("sha256", pa.string(), nullable=False)]
    else:
        fields.append(pa.field("image", pa.binary(), nullable=False))
    return pa.schema(fields, metadata={"classes": json.dumps(plan.classes)} if plan.classes else None)


def _row(
    sample: Sample, split: Split, position: int, plan: Plan, options: BuildOptions
) -> tuple[dict[str, object], int]:
    try:
        content = sample.load()
        image = checked_image(content)
    except (OSError, ValueError) as error:
        raise ManifestError(f"the image of sample {position} (counted from 0) cannot be read: {_why(error)}") from error
    row: dict[str, object] = {"sample_id": sample.sample_id, "split": split.value, "label": plan.label_of[sample.label]}
    if plan.has_subjects:
        row["subject_id"] = sample.subject_id
    if not options.by_reference:
        return row | {"image": image}, len(image)
    if sample.path is None:
        raise InvalidRequestError(
            FieldViolation(field="by_reference", description="the data set's images are no files: embed them")
        )
    return row | {"uri": sample.path.resolve().as_uri(), "sha256": hashlib.sha256(content).hexdigest()}, 0


def checked_image(content: bytes) -> bytes:
    """Return an image file's bytes, PNG and JPEG unchanged, anything else as PNG.

    Raises:
        ValueError: the bytes cannot be decoded.
        OSError: they are truncated.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.load()
            return content if image.format in _KEPT_FORMATS else png_of(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, SyntaxError) as error:
        raise ValueError("it is too large or damaged") from error


def png_of(image: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _why(error: Exception) -> str:
    # Pillow's and the system's own texts can name the file, and with it the sample.
    if isinstance(error, UnidentifiedImageError):
        return "it is no image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it is damaged"
