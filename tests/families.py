"""Families of leave-out references as plain values, and one in an object store without any training."""

from dataclasses import replace
from datetime import datetime

from mcu_core.config import ReferenceFamilyConfig
from service.domain.model import Model
from service.domain.references import (
    ReferencePlan,
    ReferencePurpose,
    ReferenceRecord,
    family_folder,
    folds_key,
    member_key,
)
from service.domain.release import Release
from service.ports import ObjectStore
from service.references import ReferenceRegister
from tests.records import LINEAGE, NOW, RECIPE, a_model, a_release, digest_of

MODEL = a_model()


def a_plan(
    model: Model = MODEL, *, purpose: ReferencePurpose = ReferencePurpose.AUDIT, seed: int = 1, after_release: int = 1
) -> ReferencePlan:
    return ReferencePlan(
        lineage=model.lineage,
        manifest_digest=model.manifest.digest,
        architecture=model.architecture,
        config=ReferenceFamilyConfig(folds=2, recipe=RECIPE, seed=seed),
        purpose=purpose,
        folds_digest=digest_of("folds"),
        samples=model.manifest.train_rows,
        left_out=0,
        after_release=after_release,
    )


def a_record(plan: ReferencePlan | None = None, *, built_at: datetime = NOW) -> ReferenceRecord:
    return ReferenceRecord(
        plan=plan or a_plan(), weights=(digest_of("member 0"), digest_of("member 1")), built_at=built_at
    )


def forgetting(number: int, count: int = 1, *, lineage: str = LINEAGE) -> Release:
    """Return a release that forgets so many samples."""
    return replace(a_release(number, lineage=lineage), forget_count=count)


def put_members(objects: ObjectStore, register: ReferenceRegister, plan: ReferencePlan) -> str:
    """Do what a build does before it registers, and return the folder."""
    folder = register.announce(plan)
    objects.create(folds_key(folder), b"folds")
    for fold in range(plan.config.folds):
        objects.create(member_key(folder, fold), f"member {fold}".encode())
    return folder


def put_family(objects: ObjectStore, register: ReferenceRegister, plan: ReferencePlan) -> ReferenceRecord:
    """Do what a build does."""
    put_members(objects, register, plan)
    return register.register(a_record(plan, built_at=register.clock.now()))


def keys_of(objects: ObjectStore, plan: ReferencePlan) -> list[str]:
    """Return what lies in a family's folder."""
    folder = family_folder(plan.lineage, plan.digest)
    return [key.removeprefix(f"{folder}/") for key in objects.keys(folder)]
