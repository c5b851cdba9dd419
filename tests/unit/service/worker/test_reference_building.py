"""Building references: resumable fold by fold, and never with anybody who was forgotten."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from mcu_core import models
from mcu_core.config import AlignConfig, McuRung, ReferenceConfig, UnlearningConfig, needs_teacher
from mcu_core.errors import CheckpointError, DataError
from mcu_core.inference import logits
from mcu_core.references import ReferenceFamily
from mcu_core.runtime import runtime_of
from service.adapters.memory import FrozenClock, MemoryObjectStore
from service.adapters.memory_store import MemoryStore
from service.domain.commitment import CommitmentKey
from service.domain.model import Model
from service.domain.references import (
    BuildStage,
    ReferencePurpose,
    ReferenceRecord,
    family_folder,
    folds_key,
    member_key,
)
from service.domain.resolution import resolve
from service.domain.run import RunSpec, WorkOrder
from service.errors import (
    DigestMismatchError,
    InvalidRequestError,
    ObjectMissingError,
    PermanentError,
    StaleVersionError,
)
from service.pixel_files import PixelCache
from service.ports import Change, ObjectStore, StoredObject
from service.references import ReferenceRegister
from service.worker.posing import pose
from service.worker.reference_building import ReferenceBuilder, Told
from service.worker.references import load_auditors, load_family, with_teacher
from service.worker.samples import decode
from tests.families import forgetting
from tests.pictures import PEOPLE, TINY, put_manifest, tiny_model
from tests.records import LINEAGE, NOW, SPEC, a_run, an_order_for

AUDIT, TEACH = ReferencePurpose.AUDIT, ReferencePurpose.TEACH
FOLDS = 3
KEY = CommitmentKey(bytes(range(32)))
PURGE_AFTER = timedelta(days=28)


def ignore(_stage: BuildStage, _done: float, _total: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A service's store and objects, with a registered model."""

    folder: Path
    objects: ObjectStore
    store: MemoryStore
    model: Model

    @property
    def register(self) -> ReferenceRegister:
        return ReferenceRegister(
            store=self.store, objects=self.objects, clock=FrozenClock(NOW), purge_after=PURGE_AFTER, actor="operator"
        )

    def build(
        self,
        purpose: ReferencePurpose = AUDIT,
        *,
        folds: int = FOLDS,
        seed: int = 1,
        model: Model | None = None,
        told: Told = ignore,
    ) -> ReferenceRecord:
        builder = ReferenceBuilder(
            register=self.register,
            objects=self.objects,
            key=KEY,
            decoded=PixelCache(root=self.folder / "decoded"),
            locks=self.folder / "locks",
            threads=1,
            told=told,
        )
        forgotten = self.store.forgotten_rows(LINEAGE)
        return builder.build(model or self.model, forgotten, purpose, folds=folds, seed=seed)

    def forget(self, *rows: int) -> None:
        number = self.store.releases(LINEAGE)[0].number + 1
        self.store.save(Change(releases=(forgetting(number, len(rows)),), forgotten=((LINEAGE, number, rows),)))

    def member(self, record: ReferenceRecord, fold: int) -> str:
        return member_key(family_folder(LINEAGE, record.plan.digest), fold)

    def spec(self, **families: str) -> RunSpec:
        facts = {"manifest_digest": self.model.manifest.digest, "architecture": TINY}
        return SPEC.model_copy(update=facts | families)

    def load(self, record: ReferenceRecord, purpose: ReferencePurpose = AUDIT) -> ReferenceFamily:
        return load_family(self.spec(), record.digest, purpose, self.objects, models.build(TINY))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    objects, store = MemoryObjectStore(), MemoryStore()
    model = tiny_model(put_manifest(objects, tmp_path))
    store.save(Change(models=(model,), releases=(replace(forgetting(1, 0)),)))
    return Place(folder=tmp_path, objects=objects, store=store, model=model)


def folds_of(place: Place, record: ReferenceRecord) -> dict[int, int]:
    content = safetensors.numpy.load(place.objects.read(folds_key(family_folder(LINEAGE, record.plan.digest))))
    return dict(zip(content["rows"].tolist(), content["folds"].tolist(), strict=True))


def test_a_family_is_built_registered_and_read_back_whole(place: Place) -> None:
    record = place.build()
    family = place.load(record)
    assert [stored.record for stored in place.register.families()] == [record]
    assert len(family.models) == len(set(record.weights)) == FOLDS
    assert family.rows.tolist() == list(range(len(PEOPLE)))  # held-out rows come after
    assert record.plan.samples == len(PEOPLE)
    assert (record.plan.left_out, record.plan.after_release) == (0, 1)


def test_the_samples_of_a_person_are_in_one_fold(place: Place) -> None:
    dealt = folds_of(place, place.build())
    for person in set(PEOPLE):
        assert len({dealt[row] for row, subject in enumerate(PEOPLE) if subject == person}) == 1
    assert set(dealt.values()) == set(range(FOLDS))


class OtherManifest(MemoryObjectStore):
    """Gives out another manifest than the one that it was asked for, and says that it is the one."""

    def download(self, key: str, path: Path) -> StoredObject:
        """Write what lies there, under the digest of its name."""
        return replace(super().download(key, path), sha256=Path(key).stem)


def test_a_member_depends_on_no_image_of_its_own_fold(place: Place, tmp_path: Path) -> None:
    record = place.build()
    dealt = folds_of(place, record)
    spoiled_rows = [row for row, fold in dealt.items() if fold == 1]
    objects, store = OtherManifest(), MemoryStore()
    model = tiny_model(put_manifest(objects, tmp_path / "spoiled", spoiled=spoiled_rows))
    # The manifest's digest keys the folds, so that the same folds are asked for under the first one's name.
    model = replace(model, manifest=place.model.manifest)
    objects.create(f"manifests/{model.manifest.digest}.parquet", tmp_path / "spoiled" / "manifest.parquet")
    store.save(Change(models=(model,), releases=(forgetting(1, 0),)))
    other = Place(folder=tmp_path / "spoiled", objects=objects, store=store, model=model).build()
    assert [one == two for one, two in zip(record.weights, other.weights, strict=True)] == [False, True, False]


def test_building_again_trains_nothing(place: Place) -> None:
    record = place.build()
    stages: list[BuildStage] = []
    again = place.build(told=lambda stage, *_: stages.append(stage))
    assert again == record
    assert stages == []


def test_an_interrupted_build_goes_on_after_the_last_stored_member_with_the_same_bits(
    place: Place, tmp_path: Path
) -> None:
    def stop_in_the_second(_stage: BuildStage, done: float, _total: int) -> None:
        if 1 < done < 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.build(told=stop_in_the_second)
    assert [family.state for family in place.register.families()] == ["unfinished"]
    trained: list[int] = []

    def note(stage: BuildStage, _done: float, total: int) -> None:
        if stage is BuildStage.TRAINING:
            trained.append(total)

    record = place.build(told=note)
    assert set(trained) == {FOLDS - 1}

    objects, store = MemoryObjectStore(), MemoryStore()
    model = tiny_model(put_manifest(objects, tmp_path / "at-once"))
    store.save(Change(models=(model,), releases=(forgetting(1, 0),)))
    at_once = Place(folder=tmp_path / "at-once", objects=objects, store=store, model=model).build()
    assert at_once == record


def test_a_damaged_member_is_trained_again(place: Place) -> None:
    class Damaged(MemoryObjectStore):
        def __init__(self, damaged: str) -> None:
            super().__init__()
            self.damaged = damaged

        def read(self, key: str) -> bytes:
            if key == self.damaged:
                raise DigestMismatchError("other bytes than were written")
            return super().read(key)

        def delete(self, key: str) -> None:
            super().delete(key)
            self.damaged = "" if key == self.damaged else self.damaged

    record = place.build()
    objects = Damaged(place.member(record, 2))
    for key in place.objects.keys(""):
        objects.create(key, place.objects.read(key))
    assert replace(place, objects=objects).build() == record
    assert objects.damaged == ""


def test_two_machines_that_train_the_same_fold_agree_on_the_first_ones(place: Place) -> None:
    class Slower(MemoryObjectStore):
        """Another machine stores fold 0 in the moment before this one does."""

        def create(self, key: str, data: bytes | Path):  # type: ignore[no-untyped-def]  # the port's
            if key.endswith("fold-00.safetensors") and self.head(key) is None:
                super().create(key, b"other last bits")
            return super().create(key, data)

    objects = Slower()
    for key in place.objects.keys(""):
        objects.create(key, place.objects.read(key))
    record = replace(place, objects=objects).build()
    assert record.weights[0] == hashlib.sha256(b"other last bits").hexdigest()


def test_who_was_forgotten_before_is_in_no_member(place: Place) -> None:
    place.forget(0, 7)
    record = place.build()
    assert (record.plan.left_out, record.plan.after_release) == (2, 2)
    assert set(folds_of(place, record)) == set(range(len(PEOPLE))) - {0, 7}
    assert [family.state for family in place.register.families()] == ["ready"]


def test_a_deletion_in_the_middle_ends_the_build_and_the_next_one_leaves_it_out(place: Place) -> None:
    def delete(_stage: BuildStage, done: float, _total: int) -> None:
        if 1 < done < 2 and place.store.releases(LINEAGE)[0].number == 1:
            place.forget(3)

    with pytest.raises(StaleVersionError, match="build them again"):
        place.build(told=delete)
    assert [family.state for family in place.register.families()] == ["tainted"]
    record = place.build()
    assert 3 not in folds_of(place, record)
    assert sorted(family.state for family in place.register.families()) == ["ready", "tainted"]


def test_a_model_without_a_recipe_has_no_references(place: Place) -> None:
    with pytest.raises(InvalidRequestError, match="no recipe was registered"):
        place.build(model=replace(place.model, recipe=None))


def test_more_folds_than_people_are_refused_before_anything_is_stored(place: Place) -> None:
    with pytest.raises(DataError, match="cannot be dealt to 99 folds"):
        place.build(folds=99)
    assert list(place.objects.keys("references")) == []


def test_teachers_and_auditors_never_share_a_seed(place: Place) -> None:
    place.build(AUDIT, seed=1)
    with pytest.raises(InvalidRequestError, match="it is the same models"):
        place.build(TEACH, seed=1)


# In an attempt


def test_a_tainted_family_is_refused(place: Place) -> None:
    record = place.build()
    place.forget(3)
    place.register.tend()
    with pytest.raises(PermanentError, match="forgotten by now"):
        place.load(record)


def test_a_family_that_is_gone_or_of_another_purpose_or_model_is_refused(place: Place) -> None:
    record = place.build()
    with pytest.raises(PermanentError, match="another model, manifest or purpose"):
        place.load(record, TEACH)
    other = place.spec().model_copy(update={"manifest_digest": "0" * 64})
    with pytest.raises(PermanentError, match="another model, manifest or purpose"):
        load_family(other, record.digest, AUDIT, place.objects, models.build(TINY))
    (family,) = place.register.families()
    place.register.purge(family, "REQUEST")
    with pytest.raises(ObjectMissingError, match="are gone"):
        place.load(record)


def _swap_member(place: Place, record: ReferenceRecord) -> None:
    place.objects.overwrite(place.member(record, 1), place.objects.read(place.member(record, 0)))


def _swap_folds(place: Place, record: ReferenceRecord) -> None:
    rows = np.arange(len(PEOPLE))
    content = safetensors.numpy.save({"folds": rows % FOLDS, "rows": rows})
    place.objects.overwrite(folds_key(family_folder(LINEAGE, record.plan.digest)), content)


def _swap_plan(place: Place, record: ReferenceRecord) -> None:
    other = record.model_copy(update={"plan": record.plan.model_copy(update={"after_release": 7})})
    place.objects.overwrite(f"{family_folder(LINEAGE, record.plan.digest)}/family.json", other.to_bytes())


@pytest.mark.parametrize(
    ("swap", "error"),
    [(_swap_member, CheckpointError), (_swap_folds, DigestMismatchError), (_swap_plan, ObjectMissingError)],
)
def test_what_is_not_the_registered_family_is_refused(
    place: Place, swap: Callable[[Place, ReferenceRecord], None], error: type[Exception]
) -> None:
    record = place.build()
    swap(place, record)
    with pytest.raises(error):
        place.load(record)


def order_of(spec: RunSpec) -> WorkOrder:
    order = an_order_for(replace(a_run(), run_id=spec.run_id, spec=spec))
    plan = order.plan.model_copy(update={"canaries": None})
    return order.model_copy(update={"plan": plan, "split_key": "1" * 64})


def test_an_order_names_its_auditors_or_has_none(place: Place) -> None:
    record = place.build()
    model = models.build(TINY)
    assert load_auditors(order_of(place.spec()), place.objects, model) is None
    family = load_auditors(order_of(place.spec(audit_family=record.digest)), place.objects, model)
    assert family is not None
    assert len(family.models) == FOLDS
    both = place.spec(audit_family=record.digest, teach_family=record.digest)
    with pytest.raises(PermanentError, match="must not be those that teach"):
        load_auditors(order_of(both), place.objects, model)


def test_a_rung_that_asks_for_a_teacher_gets_what_models_answer_that_never_saw_the_sample(place: Place) -> None:
    record = place.build(TEACH, seed=2)
    asking = McuRung(pre_unlearning=AlignConfig(objective=ReferenceConfig()))
    assert needs_teacher(asking)
    plain = order_of(place.spec(teach_family=record.digest))
    spec = plain.spec.model_copy(update={"config": UnlearningConfig(ladder=(asking,))})
    forget = (1, 4, 5)
    resolution = resolve(
        manifest_digest=spec.manifest_digest, train_rows=len(PEOPLE), requested=forget, forgotten_before=()
    )
    manifest = place.folder / "manifest.parquet"
    samples = decode(manifest, TINY, folder=place.folder / "again")
    base = place.objects.read(place.member(record, 0))
    spec = spec.model_copy(update={"base_model_digest": record.weights[0]})
    problem = pose(order_of(spec), resolution, samples, base).problem

    assert with_teacher(plain, problem, place.objects) is problem
    taught = with_teacher(order_of(spec), problem, place.objects)
    assert taught.teacher is not None
    family, runtime = place.load(record, TEACH), runtime_of(problem, spec.config)
    dealt = folds_of(place, record)
    for position, row in enumerate(forget):
        member = family.models[dealt[row]]
        expected = logits(runtime, member, torch.tensor([row])).softmax(dim=1)[0]
        torch.testing.assert_close(taught.teacher.forget[position], expected)
    assert len(taught.teacher.validation) == len(problem.validation)
