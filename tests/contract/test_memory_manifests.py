"""The manifest that tests keep in memory answers as the real source does."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.manifest_files import DuckDBManifestSource
from service.adapters.memory import MemoryObjectStore
from service.adapters.object_bytes import sha256_of
from service.errors import ObjectMissingError
from service.ports import manifest_key
from tests.canaries import CANARY_IDS, PLANTED_ROWS, planted
from tests.memory_manifests import HELDOUT, TRAIN
from tests.records import digest_of


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[DuckDBManifestSource, str]:
    folder: Path = tmp_path_factory.mktemp("manifests")
    path = folder / "manifest.parquet"
    table = pa.table(
        {
            "sample_id": [row.sample_id for row in PLANTED_ROWS],
            "split": [row.split.value for row in PLANTED_ROWS],
            "label": [row.label for row in PLANTED_ROWS],
            "image": [b"png"] * len(PLANTED_ROWS),
        }
    )
    pq.write_table(table, path)
    objects, digest = MemoryObjectStore(), sha256_of(path)
    objects.create(manifest_key(digest), path)
    return DuckDBManifestSource(objects, folder / "cache"), digest


def test_both_count_the_same(real: tuple[DuckDBManifestSource, str]) -> None:
    source, digest = real
    memory = planted()

    counted, expected = source.inspect(digest), memory.inspect(memory.digest)
    assert counted == replace(expected, digest=digest)
    assert counted.canary_rows > 0


@settings(max_examples=20, deadline=None)
@given(wanted=st.lists(st.sampled_from([*TRAIN, *HELDOUT, *CANARY_IDS, "nobody", "", "train-3"]), max_size=12))
def test_both_find_the_same_rows(real: tuple[DuckDBManifestSource, str], wanted: list[str]) -> None:
    source, digest = real
    memory = planted()

    assert memory.resolve(memory.digest, wanted) == source.resolve(digest, wanted)


def test_both_miss_what_they_do_not_have(real: tuple[DuckDBManifestSource, str]) -> None:
    for source in (real[0], planted()):
        with pytest.raises(ObjectMissingError):
            source.inspect(digest_of("none"))
        with pytest.raises(ObjectMissingError):
            source.resolve(digest_of("none"), ["train-00"])
