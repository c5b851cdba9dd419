"""The job: what it lets a run read, and one attempt from order to outcome."""

import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mcu_core import checkpoint, models
from mcu_core.config import RetrainConfig, RetrainRung, TrainConfig
from mcu_core.errors import SealedReadError
from mcu_core.report import AuditReport
from service import resolution_file
from service.adapters.memory import MemoryObjectStore
from service.domain.release import weights_key
from service.domain.resolution import Resolution
from service.domain.run import Outcome, WorkOrder, resolution_key
from service.pixel_files import PixelCache
from service.ports import manifest_key
from service.worker.job import pose, work
from service.worker.samples import decode
from tests.cases import TINY, tiny_config
from tests.records import SPEC, digest_of

TRAIN, HELDOUT = 60, 120
RUNG = RetrainRung(recipe=RetrainConfig(train=TrainConfig(epochs=1, learning_rate=0.05, batch_size=32)))


def write_manifest(path: Path) -> None:
    rng, count = torch.Generator().manual_seed(0), TRAIN + HELDOUT
    pixels = torch.randint(0, 256, (count, TINY.image_size, TINY.image_size), generator=rng, dtype=torch.uint8)
    files = []
    for image in pixels.numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        files.append(buffer.getvalue())
    table = {
        "sample_id": [f"s{row}" for row in range(count)],
        "split": ["train" if row < TRAIN else "heldout" for row in range(count)],
        "label": [row % TINY.classes for row in range(count)],
        "image": files,
    }
    pq.write_table(pa.table(table), path)


def ordered(folder: Path) -> tuple[WorkOrder, Resolution, MemoryObjectStore, bytes]:
    """Return an order with everything that it refers to, all in the object store."""
    path = folder / "manifest.parquet"
    write_manifest(path)
    manifest = hashlib.sha256(path.read_bytes()).hexdigest()
    base = checkpoint.to_bytes(models.state_of(models.build(TINY)))
    resolution = Resolution(manifest_digest=manifest, train_rows=TRAIN, forget=tuple(range(6)), forgotten_before=())
    changes = {
        "base_model_digest": hashlib.sha256(base).hexdigest(),
        "architecture": TINY,
        "manifest_digest": manifest,
        "resolution_digest": resolution.digest,
        "forget_count": 6,
        "config": tiny_config().model_copy(update={"ladder": (RUNG,)}),
    }
    spec = SPEC.model_copy(update=changes)
    order = WorkOrder(
        run_id=spec.run_id,
        spec=spec,
        epoch=1,
        rung_index=0,
        audits_before=0,
        pathway_epoch=None,
        previous_attempts=(),
        split_key=digest_of("split key"),
    )
    objects = MemoryObjectStore()
    objects.create(manifest_key(manifest), path)
    objects.create(weights_key(spec.lineage, spec.base_release), base)
    objects.create(resolution_key(order.run_id), resolution_file.encode(resolution))
    objects.create("order", order.model_dump_json().encode())
    return order, resolution, objects, base


def test_a_problem_hides_the_sealed_samples_and_shows_the_others(tmp_path: Path) -> None:
    order, resolution, _, base = ordered(tmp_path)
    samples = decode(tmp_path / "manifest.parquet", TINY, folder=tmp_path / "pixels")
    problem, sealed = pose(order, resolution, samples, base)
    heldout = torch.cat([problem.validation, problem.test, sealed.calibration, sealed.evaluation])
    assert sorted(heldout.tolist()) == list(range(TRAIN, TRAIN + HELDOUT))
    for part in (problem.forget, problem.retain, problem.validation, problem.test):
        assert len(problem.data.pixels(part)) == len(part)
    for part in (sealed.calibration, sealed.evaluation):
        assert len(sealed.open().pixels(part)) == len(part)
        with pytest.raises(SealedReadError):
            problem.data.pixels(part[:1])


def test_an_attempt_ends_with_candidate_report_and_outcome(tmp_path: Path) -> None:
    order, _, objects, _ = ordered(tmp_path)
    assert work("order", objects, decoded=PixelCache(root=tmp_path / "pixels"), threads=1) is None
    outcome = Outcome.model_validate_json(objects.read(f"{order.prefix}/outcome.json"))
    report = AuditReport.model_validate_json(objects.read(f"{order.prefix}/report.json"))
    assert report.subjects.candidate == outcome.candidate_digest
    assert outcome.failure is None
