"""Registering a lineage: what does not fit together is refused, what is repeated is harmless."""

import hashlib
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from service.adapters.memory import MemoryObjectStore
from service.domain.canary import CanaryRegister
from service.domain.ledger import LedgerKind
from service.domain.manifest import Split
from service.domain.release import pointer_key, weights_key
from service.errors import (
    DigestMismatchError,
    LineageExistsError,
    ManifestError,
    ObjectMissingError,
    StoreUnavailableError,
    WeightsError,
)
from service.ports import imported_weights_key
from tests.canaries import CANARY_IDS, COIN_KEY, EXCLUDED_ROWS, INCLUDED_ROWS, REGISTER
from tests.faults import Faults, Kill
from tests.memory_manifests import HELDOUT, ROWS, MemoryManifestSource, Row
from tests.records import ARCHITECTURE, LINEAGE, RECIPE, TENANT, digest_of
from tests.world import ACTOR, WEIGHTS, World, plain_world, world_with_canaries

OTHER_WEIGHTS = save({"layer.weight": np.ones((3, 4), np.float32)})


def bring(world: World, data: bytes) -> str:
    """Put weights where somebody who registers them puts them."""
    digest = hashlib.sha256(data).hexdigest()
    world.objects.create(imported_weights_key(digest), data)
    return digest


def require_nothing_registered(world: World) -> None:
    assert world.store.model(LINEAGE) is None
    assert world.ledger() == []
    assert world.objects.head(pointer_key(LINEAGE)) is None


def test_a_registered_lineage_has_one_release_that_readers_are_pointed_to() -> None:
    world = plain_world()
    model = world.register()

    (release,) = world.releases()
    assert (release.number, release.weights_digest) == (1, hashlib.sha256(WEIGHTS).hexdigest())
    assert world.objects.read(weights_key(LINEAGE, 1)) == WEIGHTS
    assert world.pointer() == {
        "lineage": LINEAGE, "release": 1, "weights": weights_key(LINEAGE, 1), "sha256": release.weights_digest,
        "card": None,
    }  # fmt: skip
    assert (model.manifest.train_rows, model.manifest.heldout_rows) == (20, 10)
    assert [entry.kind for entry in world.ledger()] == [LedgerKind.MODEL_REGISTERED]


def test_registering_again_is_harmless() -> None:
    world = plain_world()

    assert world.register() == world.register()
    assert world.register(request_id="another") == world.store.model(LINEAGE)
    assert len(world.ledger()) == len(world.releases()) == 1


OTHERS: dict[str, dict[str, Any]] = {
    "weights": {"weights_digest": digest_of("other")},
    "manifest": {"manifest_digest": digest_of("other")},
    "architecture": {"architecture": ARCHITECTURE.model_copy(update={"name": "preresnet56"})},
    "no recipe": {"recipe": None},
    "recipe": {"recipe": RECIPE.model_copy(update={"stop_at_train_accuracy": 0.9})},
    "baseline": {"baseline_train_accuracy": 0.9},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_lineage_is_not_registered_again_with_something_else(change: dict[str, Any]) -> None:
    world = plain_world()
    model = world.register()

    with pytest.raises(LineageExistsError, match="choose another name"):
        world.register(**change)
    assert world.store.model(LINEAGE) == model
    assert world.pointer()["sha256"] == model.weights_digest


def test_another_tenant_cannot_register_over_a_lineage() -> None:
    world = plain_world()
    world.register()

    with pytest.raises(LineageExistsError):
        world.service.intake.register_model(world.registration, tenant="other", actor="eve")
    assert world.store.model(LINEAGE) is not None


# Canaries


def test_canaries_are_kept_with_the_model_and_their_coins_are_committed_to() -> None:
    world = world_with_canaries()
    model = world.register()

    assert model.canary_commitment == REGISTER.commitment
    kept = world.store.canaries(LINEAGE)
    assert {canary.row for canary in kept if canary.is_included} == set(INCLUDED_ROWS)
    assert {canary.row for canary in kept if not canary.is_included} == set(EXCLUDED_ROWS)
    assert {canary.used_by_run for canary in kept} == {None}
    (entry,) = world.ledger()
    assert entry.payload["canaries"] == REGISTER.commitment, "before any run"


def test_a_manifest_with_canaries_can_be_registered_without_them() -> None:
    world = world_with_canaries()

    assert world.register(canaries=None).canary_commitment is None
    assert list(world.store.canaries(LINEAGE)) == []
    assert "canaries" not in world.ledger()[0].payload


@pytest.mark.parametrize(("first", "then"), [(REGISTER, None), (None, REGISTER)])
def test_canaries_cannot_be_added_or_dropped_afterwards(
    first: CanaryRegister | None, then: CanaryRegister | None
) -> None:
    world = world_with_canaries()
    world.register(canaries=first)

    assert world.register(canaries=first) == world.store.model(LINEAGE), "the same once more is harmless"
    with pytest.raises(LineageExistsError):
        world.register(canaries=then)


WRONG_REGISTERS = {
    "another key": (CanaryRegister(key=bytes(32), sample_ids=CANARY_IDS), "not in the split that their coin says"),
    "unknown": (CanaryRegister(key=COIN_KEY, sample_ids=(*CANARY_IDS, "secret-1")), "1 of 17 canaries are not in"),
    "some left out": (
        CanaryRegister(key=COIN_KEY, sample_ids=REGISTER.included_ids),
        f"has {len(EXCLUDED_ROWS)} canaries that were kept out of training, the register 0",
    ),
    "held out": (CanaryRegister(key=COIN_KEY, sample_ids=tuple(sorted((*CANARY_IDS, *HELDOUT)))), "10 of 26 canaries"),
}


@pytest.mark.parametrize(("register", "message"), WRONG_REGISTERS.values(), ids=WRONG_REGISTERS)
def test_a_register_of_another_manifest_is_refused_and_not_quoted(register: CanaryRegister, message: str) -> None:
    world = world_with_canaries()

    with pytest.raises(ManifestError, match=message) as refused:
        world.register(canaries=register)
    told = f"{refused.value} {refused.value.metadata}"
    assert not any(sample_id in told for sample_id in register.sample_ids)
    require_nothing_registered(world)


def test_canaries_without_their_manifest_are_refused() -> None:
    world = plain_world()

    with pytest.raises(ManifestError, match="16 of 16 canaries"):
        world.register(canaries=REGISTER)
    require_nothing_registered(world)


# Manifest


def test_labels_beyond_the_models_classes_are_refused() -> None:
    world = plain_world()

    with pytest.raises(ManifestError, match=r"labels up to 9, the model answers with 9 classes \(0 to 8\)"):
        world.register(architecture=ARCHITECTURE.model_copy(update={"classes": 9}))
    require_nothing_registered(world)
    world.register(architecture=ARCHITECTURE.model_copy(update={"classes": 10}))


def test_a_manifest_without_held_out_samples_is_refused() -> None:
    manifests = MemoryManifestSource([row for row in ROWS if row.split is Split.TRAIN])
    world = plain_world(manifests=manifests)

    with pytest.raises(ManifestError, match="no held-out samples"):
        world.register(manifest_digest=manifests.digest)
    require_nothing_registered(world)


def test_a_manifest_that_is_not_there_is_missing() -> None:
    world = plain_world()

    with pytest.raises(ObjectMissingError):
        world.register(manifest_digest=digest_of("none"))
    require_nothing_registered(world)


def test_any_manifest_with_something_to_compare_with_is_registered() -> None:
    manifests = MemoryManifestSource([
        Row(sample_id="a", split=Split.TRAIN), Row(sample_id="b", split=Split.TRAIN),
        Row(sample_id="c", split=Split.HELDOUT),
    ])  # fmt: skip
    world = plain_world(manifests=manifests)

    assert world.register(manifest_digest=manifests.digest).manifest.train_rows == 2


# Weights


def test_weights_that_are_not_there_are_missing() -> None:
    world = plain_world()

    with pytest.raises(ObjectMissingError):
        world.register(weights_digest=digest_of("none"))
    require_nothing_registered(world)


def test_weights_of_another_digest_than_announced_are_refused() -> None:
    world = plain_world()
    announced = digest_of("announced")
    world.objects.create(imported_weights_key(announced), OTHER_WEIGHTS)

    with pytest.raises(DigestMismatchError, match="not those that were announced"):
        world.register(weights_digest=announced)
    require_nothing_registered(world)


def _header(tensors: object, data: bytes = b"\0" * 16) -> bytes:
    header = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + data


def _tensor(**changes: object) -> dict[str, object]:
    return {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "short": b"\x08",
    "truncated": WEIGHTS[:-1],
    "longer": WEIGHTS + b"\0",
    "header longer than the file": (2**40).to_bytes(8, "little") + b"{}",
    "header of all sizes": b"\xff" * 8 + b"{}",
    "pickle": pickle.dumps({"w": [1, 2, 3]}),
    "no json": _header(b"not json at all "),
    "not an object": _header([1, 2]),
    "not utf-8": _header(b'{"\xff\xfe": 1}'),
    "nested without end": _header(b"[" * 100_000),
    "no tensor": _header({}, b""),
    "metadata only": _header({"__metadata__": {"format": "pt"}}, b""),
    "offsets beyond the file": _header(_tensor(data_offsets=[0, 1 << 40])),
    "offsets backwards": _header(_tensor(data_offsets=[16, 0])),
    "negative offset": _header(_tensor(data_offsets=[-16, 0])),
    "negative shape": _header(_tensor(shape=[-2, -2])),
    "shape larger than the data": _header(_tensor(shape=[2, 3])),
    "shape that overflows": _header(_tensor(shape=[2**63, 2**63])),
    "overlapping": _header({**_tensor(), "v": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}),
    "a hole": _header(_tensor(shape=[2, 1], data_offsets=[8, 16])),
    "unknown type": _header(_tensor(dtype="F99")),
    "text type": _header(_tensor(dtype="O")),
    "unusual type": _header(_tensor(dtype="F8_E4M3", shape=[16])),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_weights_are_refused(data: bytes) -> None:
    world = plain_world()
    digest = bring(world, data)

    with pytest.raises(WeightsError):
        world.register(weights_digest=digest)
    require_nothing_registered(world)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "int32", "uint8", "bool"])
def test_weights_of_usual_types_are_registered(dtype: str) -> None:
    world = plain_world()
    digest = bring(world, save({"w": np.ones((2, 2), dtype), "scalar": np.array(1, dtype)}))

    assert world.register(weights_digest=digest).weights_digest == digest


def test_weights_with_metadata_are_registered() -> None:
    world = plain_world()
    digest = bring(world, save({"w": np.ones(2, np.float32)}, metadata={"format": "pt"}))

    assert world.register(weights_digest=digest).weights_digest == digest


# Crashes and others at the same time


def test_a_registration_that_is_repeated_after_any_crash_is_complete() -> None:
    moment = 0
    while True:
        moment += 2
        world, faults = plain_world(), Faults(moment)
        service = world.process(store=faults.guard(world.store), objects=faults.guard(world.objects))
        try:
            world.register(service)
        except Kill:
            world.register()
            assert world.pointer()["sha256"] == world.releases()[0].weights_digest
            assert world.objects.read(weights_key(LINEAGE, 1)) == WEIGHTS
            assert len(world.ledger()) == 1
        else:
            break
    assert moment > 10


def test_a_registration_that_was_given_up_does_not_block_its_name() -> None:
    world = plain_world()
    faults = Faults(1, lambda: StoreUnavailableError("away"), times=1000)
    with pytest.raises(StoreUnavailableError):
        world.register(_with_failing_save(world, faults))
    digest = bring(world, OTHER_WEIGHTS)

    world.register(weights_digest=digest)
    assert world.objects.read(weights_key(LINEAGE, 1)) == OTHER_WEIGHTS


def _with_failing_save(world: World, faults: Faults) -> Any:
    class Saving:
        def __getattr__(self, name: str) -> Any:
            return getattr(faults.guard(world.store) if name == "save" else world.store, name)

    return world.process(store=Saving())


def test_registrations_sent_at_once_make_one_lineage() -> None:
    world = plain_world()
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: world.register(), range(16)))

    assert set(models) == {world.store.model(LINEAGE)}
    assert len(world.ledger()) == len(world.releases()) == 1


@pytest.mark.parametrize("moment", ["before our weights are written", "after"])
def test_of_two_registrations_at_the_same_moment_the_one_that_is_saved_has_its_weights_published(moment: str) -> None:
    class Interleaved(MemoryObjectStore):
        """Lets somebody else register just before or after our weights are written, before they are saved."""

        meanwhile: Any = None

        def create(self, key: str, data: Any) -> Any:
            ours = key.startswith("models/") and self.meanwhile
            if ours and moment != "after":
                self._let_happen()
            stored = super().create(key, data)
            if ours and moment == "after":
                self._let_happen()
            return stored

        def _let_happen(self) -> None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()

    objects = Interleaved()
    world = plain_world(objects=objects)
    other = bring(world, OTHER_WEIGHTS)
    registration = replace(world.registration, weights_digest=other)
    objects.meanwhile = lambda: world.service.intake.register_model(registration, tenant=TENANT, actor=ACTOR)

    with pytest.raises(LineageExistsError):
        world.register()
    (release,) = world.releases()
    assert release.weights_digest == world.pointer()["sha256"] == other
    assert world.objects.read(weights_key(LINEAGE, 1)) == OTHER_WEIGHTS
