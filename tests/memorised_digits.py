"""Scikit-learn's digits, half of them mislabelled, with canaries: an original that memorised its training split.

Wrong labels can only be memorised, so that an audit of this original sees what it looks for, and of a model that was
never trained on D_f nothing.
"""

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

from mcu_core.config import (
    ArchitectureConfig,
    AuditConfig,
    Precision,
    RetrainConfig,
    RetrainRung,
    Rung,
    Schedule,
    TrainConfig,
    UnlearningConfig,
)
from mcu_core.types import ignore_progress
from service.adapters.manifest_files import DuckDBManifestSource
from service.adapters.memory import MemoryObjectStore
from service.batching import resolution_of
from service.domain.canary import CanaryRegister, draw_batch, is_included
from service.domain.run import RunCanaries, RunPhase, RunSpec, UnlearningRun
from service.domain.ticket import Ticket, TicketEvent, advance
from service.ports import Change, ObjectStore, Store, imported_weights_key, manifest_key
from service.recomputation import recompute
from service.worker.original import train_original
from tests.attempts import Attempt
from tests.records import LINEAGE, TENANT
from tests.results import POLICY
from tests.world import World

ARCHITECTURE = ArchitectureConfig(name="preresnet8", classes=10, channels=1, image_size=8, mean=(0.305,), std=(0.376,))
RECIPE = RetrainConfig(
    train=TrainConfig(epochs=25, learning_rate=0.1, batch_size=64, schedule=Schedule.ONE_CYCLE),
    stop_at_train_accuracy=0.995,
)
RETRAIN = RetrainRung(recipe=RECIPE)
GATE = POLICY.model_copy(update={"test_accuracy_loss_margin": 0.15})
"""As the shipped policy but for D_t: of some 480 images with half of the labels wrong, exact retraining gets several
points fewer or more than the original by chance."""
COINS, TRAIN, FORGET, CANARIES = 128, 540, 120, 54
"""Canaries that a coin was thrown for; training samples besides; of these D_f; canaries of a run, of either kind."""
MISLABELLED = 0.5
SEED = 14
"""Of order and wrong labels; with each of 9 to 14 exact retraining was accepted, with two seeds of its own each."""
COIN_KEY = hashlib.sha256(b"coins of the digits").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorisedDigits:
    """The data set and its original."""

    manifest: Path
    weights: Path
    train_accuracy: float
    register: CanaryRegister
    forget_ids: tuple[str, ...]


def build(folder: Path) -> MemorisedDigits:
    """Write the manifest and train the original on its training split."""
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    labels = digits.target[order].astype(np.int64)
    wrong = rng.random(len(labels)) < MISLABELLED
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    images = (digits.images[order] * (255 / 16)).astype(np.uint8)
    ids = [f"digit-{index:05d}" for index in order]
    coins = ["train" if is_included(COIN_KEY, sample_id) else "canary" for sample_id in ids[:COINS]]
    splits = coins + ["train"] * TRAIN + ["heldout"] * (len(ids) - COINS - TRAIN)
    table = {"sample_id": ids, "split": splits, "label": labels, "image": [_png(image) for image in images]}
    manifest, weights = folder / "digits.parquet", folder / "original.safetensors"
    pq.write_table(pa.table(table), manifest)
    trained = train_original(manifest, ARCHITECTURE, RECIPE, path=weights, seed=1, progress=ignore_progress, threads=1)
    return MemorisedDigits(
        manifest=manifest,
        weights=weights,
        train_accuracy=trained.train_accuracy,
        register=CanaryRegister(key=COIN_KEY, sample_ids=tuple(sorted(ids[:COINS]))),
        forget_ids=tuple(ids[COINS : COINS + FORGET]),
    )


def world_of(
    digits: MemorisedDigits,
    *attempts: Attempt,
    folder: Path,
    store: Store | None = None,
    objects: ObjectStore | None = None,
) -> World:
    """Return a service to which the original is not registered yet, with jobs that make these attempts."""
    objects = MemoryObjectStore() if objects is None else objects
    manifests = DuckDBManifestSource(objects, folder / "manifests", threads=1)
    world = World(*attempts, store=store, objects=objects, manifests=manifests, recompute=recompute)
    weights = digits.weights.read_bytes()
    stored = objects.create(imported_weights_key(hashlib.sha256(weights).hexdigest()), weights)
    manifest = hashlib.sha256(digits.manifest.read_bytes()).hexdigest()
    objects.create(manifest_key(manifest), digits.manifest)
    world.registration = replace(
        world.registration,
        architecture=ARCHITECTURE,
        manifest_digest=manifest,
        weights_digest=stored.sha256,
        recipe=RECIPE,
        baseline_train_accuracy=digits.train_accuracy,
        canaries=digits.register,
    )
    return world


def request(world: World, digits: MemorisedDigits, *ladder: Rung) -> Ticket:
    """Register, ask for the deletion of D_f, and open the run as the batcher does, with this ladder for its own."""
    model = world.register()
    ticket = world.submit(*digits.forget_ids)
    world.service.workflow.schedule_tickets()
    requested = set(world.manifests.resolve(model.manifest.digest, digits.forget_ids).rows)
    known = world.store.canaries(LINEAGE)
    canaries = draw_batch(known, unavailable=requested, most=CANARIES, seed="digits")
    resolution = resolution_of(model, requested, {}, canaries)
    spec = RunSpec(
        lineage=LINEAGE,
        sequence=1,
        base_release=1,
        base_model_digest=model.weights_digest,
        architecture=ARCHITECTURE,
        baseline_train_accuracy=model.baseline_train_accuracy,
        manifest_digest=model.manifest.digest,
        resolution_digest=resolution.digest,
        forget_count=len(resolution.forget),
        config=UnlearningConfig(
            ladder=ladder or (RETRAIN,), audit=AuditConfig(svc_samples=200), precision=Precision.FLOAT32
        ),
        policy=GATE,
        seed=1,
        canaries=RunCanaries(
            included=len(canaries.included),
            excluded=len(canaries.excluded),
            wanted=CANARIES,
            commitment=digits.register.commitment,
            mislabelled=False,
        ),
    )
    now = world.clock.now()
    run = UnlearningRun(
        run_id=spec.run_id,
        lineage=LINEAGE,
        tenant=TENANT,
        spec=spec,
        ticket_ids=(ticket.ticket_id,),
        phase=RunPhase.PENDING,
        created_at=now,
        phase_since=now,
    )
    started = replace(advance(world.ticket(ticket), TicketEvent.START, now), run_id=run.run_id)
    taken = ((LINEAGE, run.run_id, canaries.rows),)
    world.store.save(
        Change(tickets=(started,), runs=(run,), models=(replace(model, runs_started=1),), canaries_taken=taken)
    )
    return ticket


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
