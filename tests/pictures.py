"""A manifest of tiny pictures of a few people, and a model of it whose training takes a moment."""

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mcu_core.config import ArchitectureConfig, RetrainConfig, TrainConfig
from service.domain.manifest import Manifest
from service.domain.model import Model
from service.ports import ObjectStore, manifest_key
from tests.manifests import picture
from tests.records import LINEAGE, NOW, TENANT, digest_of

CLASSES = 3
HELDOUT = 24
PEOPLE = tuple(f"person-{row // 3}" for row in range(120))
"""Subject of each training row; so many that four folds, whatever their key, all get some (.99996)."""
TINY = ArchitectureConfig(name="preresnet8", classes=CLASSES, channels=1, image_size=8, mean=(0.5,), std=(0.25,))
RECIPE = RetrainConfig(train=TrainConfig(epochs=1, learning_rate=0.05, batch_size=32))


def put_manifest(objects: ObjectStore, folder: Path, *, spoiled: Collection[int] = ()) -> Manifest:
    """Write `folder/manifest.parquet`, put it into the object store, and return what the service knows of it.

    Args:
        objects: the object store.
        folder: made where there is none.
        spoiled: rows with another picture.
    """
    folder.mkdir(exist_ok=True)
    rows = len(PEOPLE) + HELDOUT
    shades = np.random.default_rng(0).integers(1, 255, rows)
    table = {
        "sample_id": [f"s{row}" for row in range(rows)],
        "subject_id": [*PEOPLE, *(f"stranger-{row}" for row in range(HELDOUT))],
        "split": ["train"] * len(PEOPLE) + ["heldout"] * HELDOUT,
        "label": [row % CLASSES for row in range(rows)],
        "image": [picture(0 if row in spoiled else int(shades[row]), size=(8, 8)) for row in range(rows)],
    }
    path = folder / "manifest.parquet"
    pq.write_table(pa.table(table), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    objects.create(manifest_key(digest), path)
    return Manifest(digest=digest, rows=rows, train_rows=len(PEOPLE), heldout_rows=HELDOUT, label_max=CLASSES - 1)


def tiny_model(manifest: Manifest) -> Model:
    return Model(
        lineage=LINEAGE,
        tenant=TENANT,
        architecture=TINY,
        manifest=manifest,
        weights_digest=digest_of("weights"),
        recipe=RECIPE,
        baseline_train_accuracy=None,
        registered_at=NOW,
    )
