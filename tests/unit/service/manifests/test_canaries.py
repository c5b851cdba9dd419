"""Planting canaries: what changes in a manifest, what does not, and where the secret goes."""

import hashlib
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.adapters.manifest_files import DuckDBManifestSource
from service.adapters.memory import MemoryObjectStore
from service.domain.canary import CanaryRegister, is_included
from service.domain.manifest import Split
from service.errors import InvalidRequestError, ManifestError
from service.manifests.canaries import PlantedManifest, plant_canaries
from service.ports import manifest_key
from tests.manifests import SECRET

KEY = bytes(range(32))
ROWS, CLASSES = 300, 5


def columns() -> dict[str, Any]:
    return {
        "sample_id": [f"s{row:03d}" for row in range(ROWS)],
        "split": ["heldout" if row % 3 else "train" for row in range(ROWS)],
        "label": pa.array([row % CLASSES for row in range(ROWS)], pa.int16()),
        "image": [b"png %d" % row for row in range(ROWS)],
    }


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "source.parquet"
    table = pa.table({name: values for name, values in (columns() | changes).items() if values is not None})
    pq.write_table(table.replace_schema_metadata({"classes": '["a", "b"]'}), path, row_group_size=70)
    return path


def plant(source: Path, **changes: Any) -> PlantedManifest:
    wanted: dict[str, Any] = {"count": 40, "mislabel": True, "key": KEY} | changes
    return plant_canaries(source, source.parent / "planted.parquet", source.parent / "secret.json", **wanted)


def register_of(planted: PlantedManifest) -> CanaryRegister:
    return CanaryRegister.from_bytes((planted.path.parent / "secret.json").read_bytes())


def both(source: Path, planted: PlantedManifest) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(zip(pq.read_table(source).to_pylist(), pq.read_table(planted.path).to_pylist(), strict=True))


def test_a_canary_is_trained_on_or_not_as_its_coin_falls(tmp_path: Path) -> None:
    source = written(tmp_path)
    planted = plant(source)
    canaries = set(register_of(planted).sample_ids)

    assert len(canaries) == 40
    for before, after in both(source, planted):
        if after["sample_id"] in canaries:
            assert before["split"] == "heldout"
            assert after["split"] == ("train" if is_included(KEY, after["sample_id"]) else "canary")


@pytest.mark.parametrize("mislabel", [True, False])
def test_nothing_but_split_and_class_of_the_canaries_changes(tmp_path: Path, mislabel: bool) -> None:
    source = written(tmp_path, subject_id=[f"p{row}" for row in range(ROWS)])
    planted = plant(source, mislabel=mislabel)
    canaries = set(register_of(planted).sample_ids)

    for before, after in both(source, planted):
        is_canary = before["sample_id"] in canaries
        assert (before["label"] != after["label"]) == (is_canary and mislabel)
        assert is_canary or before["split"] == after["split"]
        assert {**before, "split": "", "label": 0} == {**after, "split": "", "label": 0}
    assert pq.read_schema(planted.path) == pq.read_schema(source), "its types are as they were"
    assert pq.read_schema(planted.path).metadata[b"classes"] == b'["a", "b"]'


def test_classes_of_canaries_are_wrong_ones_of_the_manifest_whichever_way_their_coins_fell(tmp_path: Path) -> None:
    source = written(tmp_path)
    found = both(source, plant(source))

    for split in ("train", "canary"):
        pairs = [(before["label"], after["label"]) for before, after in found if after["split"] == split]
        wrong = {after for before, after in pairs if before != after}
        assert len(wrong) > 2
        assert wrong <= set(range(CLASSES))


def test_what_is_told_is_what_was_written_and_can_be_registered(tmp_path: Path) -> None:
    planted = plant(written(tmp_path))
    register = register_of(planted)
    objects = MemoryObjectStore()
    objects.create(manifest_key(planted.digest), planted.path)
    manifest = DuckDBManifestSource(objects, tmp_path / "cache").inspect(planted.digest)

    assert (
        (manifest.train_rows, manifest.heldout_rows)
        == (planted.train, planted.heldout)
        == (
            100 + planted.included,
            160,
        )
    )
    assert manifest.canary_rows == planted.excluded == len(register.excluded_ids)
    assert planted.included == len(register.included_ids)
    assert planted.commitment == register.commitment
    assert planted.commitment == hashlib.sha256((tmp_path / "secret.json").read_bytes()).hexdigest()


def test_the_same_key_plants_the_same_and_another_one_others(tmp_path: Path) -> None:
    first = plant(written(tmp_path)).digest
    (tmp_path / "secret.json").unlink()
    again = plant(written(tmp_path)).digest
    (tmp_path / "secret.json").unlink()

    assert first == again != plant(written(tmp_path), key=bytes(32)).digest


def test_a_person_who_has_another_sample_is_no_canary(tmp_path: Path) -> None:
    subjects = [None if row < 150 else f"p{row // 2}" for row in range(ROWS)]
    subjects[-1] = "alone"
    source = written(tmp_path, subject_id=subjects)
    planted = plant(source, count=100)

    canaries = set(register_of(planted).sample_ids)
    assert all(sample_id < "s150" or sample_id in {"s298", "s299"} for sample_id in canaries)


# The secret


def test_only_its_owner_can_read_the_secret(tmp_path: Path) -> None:
    plant(written(tmp_path))

    assert stat.S_IMODE((tmp_path / "secret.json").stat().st_mode) == 0o600


def test_an_existing_secret_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_bytes(b"opens another commitment")

    with pytest.raises(InvalidRequestError, match="Choose another name"):
        plant(written(tmp_path))
    assert (tmp_path / "secret.json").read_bytes() == b"opens another commitment"
    assert not (tmp_path / "planted.parquet").exists()


def test_where_the_manifest_cannot_be_put_in_place_no_secret_is_left(tmp_path: Path) -> None:
    (tmp_path / "planted.parquet").mkdir()

    with pytest.raises(OSError, match="directory"):
        plant(written(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"planted.parquet", "source.parquet"}


# What cannot be done


@pytest.mark.parametrize(
    ("changes", "count", "message"),
    [
        ({}, 101, "of the manifest's 200 held-out samples 1 to 100 can become some"),
        ({"subject_id": [SECRET] * ROWS}, 1, "1 to 0 can become some"),
        ({"split": ["train"] * ROWS}, 2, "1 to 0"),
        ({"split": [Split.CANARY.value, *["heldout"] * (ROWS - 1)]}, 2, "has canaries already"),
        ({"label": [0] * ROWS}, 2, "single class"),
        ({"label": [SECRET] * ROWS}, 2, "no whole numbers"),
        ({"label": None}, 2, "lacks the column label"),
        ({"sample_id": [SECRET] * ROWS}, 2, "or an id twice"),
        ({"split": [None] * ROWS}, 2, "without id, split or label"),
    ],
)
def test_what_no_canaries_can_be_planted_in_is_refused_and_not_quoted(
    tmp_path: Path, changes: dict[str, Any], count: int, message: str
) -> None:
    with pytest.raises(ManifestError, match=message) as refused:
        plant(written(tmp_path, **changes), count=count)
    assert SECRET not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"source.parquet"}


def test_a_single_class_is_no_obstacle_where_canaries_keep_theirs(tmp_path: Path) -> None:
    assert plant(written(tmp_path, label=[0] * ROWS), mislabel=False).included > 0


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source.parquet"
    path.write_bytes(b"no Parquet")

    with pytest.raises(ManifestError, match="is no manifest that can be read"):
        plant(path)


def test_a_manifest_is_not_replaced_by_itself(tmp_path: Path) -> None:
    source = written(tmp_path)

    with pytest.raises(InvalidRequestError, match="must be another file"):
        plant_canaries(source, source, tmp_path / "secret.json", count=2, mislabel=True, key=KEY)
