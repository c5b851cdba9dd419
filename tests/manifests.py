"""Small data sets of pictures, and the manifests built from them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from service.adapters.manifest_files import DuckDBManifestSource
from service.adapters.memory import MemoryObjectStore
from service.domain.manifest import Split
from service.manifests.build import BuiltManifest
from service.manifests.plan import BuildOptions, Sample, SampleSource
from service.ports import manifest_key

SECRET = "someone@example.org"
DEFAULTS = BuildOptions()


def picture(value: int, *, form: str = "PNG", size: tuple[int, int] = (4, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, value).save(buffer, format=form)
    return buffer.getvalue()


def rows_of(built: BuiltManifest) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(built.path).to_pylist()
    return rows


def source_of(samples: list[Sample]) -> SampleSource:
    return SampleSource(samples=lambda: iter(samples))


def sample(number: int, *, split: Split | None = Split.TRAIN, label: int | str = 0) -> Sample:
    return Sample(sample_id=f"s{number}", split=split, label=label, load=lambda: picture(number % 256))


def require_registrable(built: BuiltManifest, tmp_path: Path) -> None:
    """Register it as the service would."""
    objects = MemoryObjectStore()
    objects.create(manifest_key(built.digest), built.path)
    manifest = DuckDBManifestSource(objects, tmp_path / "cache").inspect(built.digest)
    assert manifest.rows == built.rows == sum(count for _, _, count in built.counts)
    assert manifest.train_rows == sum(count for split, _, count in built.counts if split is Split.TRAIN)


def decoded(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels of an image file."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)
