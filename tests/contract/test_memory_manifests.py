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
from service.errors import ManifestError, ObjectMissingError
from service.ports import manifest_key
from tests.canaries import CANARY_IDS, PLANTED_ROWS, planted
from tests.memory_manifests import HELDOUT, TRAIN, MemoryManifestSource
from tests.records import digest_of

PEOPLE = [f"person-{number}" for number in range(9)]
WITH_PEOPLE = tuple(
    replace(row, subject_id=None if number % 5 == 0 else PEOPLE[number % len(PEOPLE)])
    for number, row in enumerate(PLANTED_ROWS)
)


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
            "subject_id": [row.subject_id for row in WITH_PEOPLE],
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


@settings(max_examples=20, deadline=None)
@given(wanted=st.lists(st.sampled_from([*PEOPLE, "nobody", "", "person-"]), max_size=6, unique=True))
def test_both_find_the_same_samples_of_people(real: tuple[DuckDBManifestSource, str], wanted: list[str]) -> None:
    source, digest = real
    memory = MemoryManifestSource(WITH_PEOPLE)

    assert source.of_subjects(digest, wanted) == memory.of_subjects(memory.digest, wanted)


@pytest.mark.parametrize("label", [*range(11), 2**62])
def test_both_find_the_same_samples_of_a_label(real: tuple[DuckDBManifestSource, str], label: int) -> None:
    source, digest = real
    memory = planted()

    assert source.of_label(digest, label) == memory.of_label(memory.digest, label)


def test_both_say_that_a_manifest_knows_no_people(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"sample_id": ["a"], "split": ["train"], "label": [0], "image": [b"png"]}), path)
    objects, digest = MemoryObjectStore(), sha256_of(path)
    objects.create(manifest_key(digest), path)

    memory = planted()
    for source, known in ((DuckDBManifestSource(objects, tmp_path / "cache"), digest), (memory, memory.digest)):
        with pytest.raises(ManifestError, match="subject_id"):
            source.of_subjects(known, ["person-1"])


def test_both_miss_what_they_do_not_have(real: tuple[DuckDBManifestSource, str]) -> None:
    for source in (real[0], planted()):
        with pytest.raises(ObjectMissingError):
            source.inspect(digest_of("none"))
        with pytest.raises(ObjectMissingError):
            source.resolve(digest_of("none"), ["train-00"])
