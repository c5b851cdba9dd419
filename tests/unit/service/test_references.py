"""The register: a family exists when it is whole, serves until somebody is forgotten, and goes by its deadline."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import structlog.testing

from mcu_core.config import taught_rung
from service.adapters.memory import MemoryObjectStore
from service.domain.ledger import LedgerEntry, LedgerKind
from service.domain.model import Model
from service.domain.references import (
    ReferencePlan,
    ReferencePurpose,
    ReferenceTaint,
    family_folder,
    member_key,
    plan_key,
    record_key,
    taint_key,
)
from service.domain.run import RunPhase
from service.errors import ObjectStoreUnavailableError, StaleVersionError
from service.reconciler import TEND_INTERVAL
from service.references import ReferenceRegister
from tests.attempts import accept, reject
from tests.families import a_plan, a_record, keys_of, put_family, put_members
from tests.faults import Faults, Kill
from tests.records import LINEAGE
from tests.world import PURGE_AFTER, World

AUDIT = ReferencePurpose.AUDIT
OF_REFERENCES = {
    LedgerKind.REFERENCES_REGISTERED,
    LedgerKind.REFERENCES_TAINTED,
    LedgerKind.REFERENCES_PURGED,
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def world() -> World:
    world = World(accept)
    world.register()
    return world


def register_of(world: World) -> ReferenceRegister:
    return world.service.workflow.references


def model_of(world: World) -> Model:
    model = world.store.model(LINEAGE)
    assert model is not None
    return model


def plan_of(world: World, *, purpose: ReferencePurpose = AUDIT, seed: int = 1, after_release: int = 1) -> ReferencePlan:
    return a_plan(model_of(world), purpose=purpose, seed=seed, after_release=after_release)


def forget(world: World, sample_id: str = "train-03") -> None:
    world.submit(sample_id, request_id=sample_id)
    world.drive()


def told(world: World) -> list[LedgerEntry]:
    return [entry for entry in world.ledger() if entry.kind in OF_REFERENCES]


def kinds(world: World) -> list[str]:
    return [entry.kind.value.removeprefix("references_") for entry in told(world)]


def state(world: World) -> list[str]:
    return [family.state for family in register_of(world).families(LINEAGE)]


def test_a_family_exists_only_when_its_record_is_written(world: World) -> None:
    register, plan = register_of(world), plan_of(world)
    put_members(world.objects, register, plan)
    assert state(world) == ["unfinished"]
    assert register.choose(AUDIT, model_of(world)) is None

    record = register.register(a_record(plan))
    assert state(world) == ["ready"]
    assert register.choose(AUDIT, model_of(world)) == record
    assert kinds(world) == ["registered"]
    assert told(world)[0].payload["family"] == record.digest


def test_of_two_that_register_the_same_family_the_first_one_counts(world: World) -> None:
    register = register_of(world)
    first = put_family(world.objects, register, plan_of(world))
    world.clock.advance(timedelta(minutes=1))
    assert put_family(world.objects, register, plan_of(world)) == first
    assert kinds(world) == ["registered"]


def test_a_run_freezes_the_family_that_audits_it(world: World) -> None:
    record = put_family(world.objects, register_of(world), plan_of(world))
    forget(world)
    assert world.orders[0].spec.audit_family == record.digest
    assert world.orders[0].spec.teach_family is None  # it must not audit what it has taught


def test_a_family_that_may_teach_does_so_on_the_first_rung(world: World) -> None:
    record = put_family(world.objects, register_of(world), plan_of(world, purpose=ReferencePurpose.TEACH))
    forget(world)
    spec = world.orders[0].spec
    assert (spec.teach_family, spec.audit_family) == (record.digest, None)
    assert spec.config.ladder[0] == taught_rung()


def test_a_release_taints_what_knows_the_forgotten_and_the_next_run_goes_without(world: World) -> None:
    record = put_family(world.objects, register_of(world), plan_of(world))
    put_members(world.objects, register_of(world), plan_of(world, seed=5))
    forget(world)

    assert state(world) == ["tainted", "tainted"], "an unfinished family knows people as well"
    assert kinds(world) == ["registered", "tainted", "tainted"]
    taint = ReferenceTaint.model_validate_json(
        world.objects.read(taint_key(family_folder(LINEAGE, record.plan.digest)))
    )
    released = world.releases()[1]
    assert (taint.release, taint.tainted_at) == (2, released.created_at)
    assert taint.purge_by == released.created_at + PURGE_AFTER

    forget(world, "train-05")
    assert [order.spec.audit_family for order in world.orders] == [record.digest, None]
    assert kinds(world) == ["registered", "tainted", "tainted"], "the same families are tainted once"


def test_what_is_built_after_a_release_is_used_again(world: World) -> None:
    put_family(world.objects, register_of(world), plan_of(world))
    forget(world)
    rebuilt = put_family(world.objects, register_of(world), plan_of(world, after_release=2))
    forget(world, "train-05")
    assert world.orders[1].spec.audit_family == rebuilt.digest


def test_a_run_that_releases_nothing_taints_nothing() -> None:
    world = World(reject)
    world.register()
    put_family(world.objects, register_of(world), plan_of(world))
    forget(world)
    assert state(world) == ["ready"]


def test_another_lineages_family_is_not_tainted(world: World) -> None:
    world.register(lineage="other", request_id="other")
    other = world.store.model("other")
    assert other is not None
    put_family(world.objects, register_of(world), a_plan(other))
    forget(world)
    assert [family.state for family in register_of(world).families("other")] == ["ready"]


def test_whoever_is_forgotten_while_members_are_trained_keeps_them_from_being_registered(world: World) -> None:
    plan = plan_of(world)
    put_members(world.objects, register_of(world), plan)
    forget(world)
    with pytest.raises(StaleVersionError, match="release 2 has forgotten"):
        register_of(world).register(a_record(plan))
    assert register_of(world).choose(AUDIT, model_of(world)) is None


def test_even_what_was_registered_in_that_moment_is_not_used(world: World) -> None:
    plan = plan_of(world)
    folder = put_members(world.objects, register_of(world), plan)
    forget(world)
    world.objects.create(record_key(folder), a_record(plan).to_bytes())  # checked just before the release
    assert register_of(world).choose(AUDIT, model_of(world)) is None


def test_a_tainted_family_stays_until_its_deadline_and_then_goes_as_a_whole(world: World) -> None:
    plan = plan_of(world)
    put_family(world.objects, register_of(world), plan)
    forget(world)
    world.clock.advance(PURGE_AFTER - timedelta(hours=1))
    world.round()
    assert "fold-00.safetensors" in keys_of(world.objects, plan)
    world.clock.advance(TEND_INTERVAL)
    world.round()
    assert list(world.objects.keys("references")) == []
    assert kinds(world) == ["registered", "tainted", "purged"]
    assert told(world)[-1].payload["reason"] == "DEADLINE"


def test_the_promised_deadline_stays_when_the_setting_is_changed(world: World) -> None:
    put_family(world.objects, register_of(world), plan_of(world))
    forget(world)
    register = register_of(world)
    longer = ReferenceRegister(
        store=world.store, objects=world.objects, clock=world.clock, purge_after=2 * PURGE_AFTER, actor="operator"
    )
    assert longer.families() == register.families()


def test_an_untainted_family_is_never_purged_by_itself(world: World) -> None:
    put_family(world.objects, register_of(world), plan_of(world))
    world.clock.advance(timedelta(days=1000))
    world.round()
    assert state(world) == ["ready"]


DAMAGES: dict[str, Callable[[MemoryObjectStore, str], None]] = {
    "no plan": lambda objects, folder: objects.delete(plan_key(folder)),
    "no JSON": lambda objects, folder: objects.overwrite(plan_key(folder), b"no JSON"),
    "another plan": lambda objects, folder: objects.overwrite(plan_key(folder), a_plan(seed=9).to_bytes()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_members_of_which_nobody_knows_whom_they_know_are_purged(
    world: World, damage: Callable[[MemoryObjectStore, str], None]
) -> None:
    plan = plan_of(world)
    put_family(world.objects, register_of(world), plan)
    assert isinstance(world.objects, MemoryObjectStore)
    damage(world.objects, family_folder(LINEAGE, plan.digest))
    assert register_of(world).choose(AUDIT, model_of(world)) is None
    world.round()
    assert list(world.objects.keys("references")) == []
    assert told(world)[-1].payload["reason"] == "NO_PLAN"


def test_a_damaged_record_is_an_unfinished_family_and_can_be_registered_again(world: World) -> None:
    plan = plan_of(world)
    record = put_family(world.objects, register_of(world), plan)
    world.objects.overwrite(record_key(family_folder(LINEAGE, plan.digest)), b"{}")
    assert state(world) == ["unfinished"]
    assert register_of(world).register(record) == record
    assert state(world) == ["ready"]


def test_purging_makes_the_family_unusable_before_its_members_go(world: World) -> None:
    class Dying(MemoryObjectStore):
        def delete(self, key: str) -> None:
            if key.endswith("fold-01.safetensors"):
                raise ObjectStoreUnavailableError("away")
            super().delete(key)

    plan = plan_of(world)
    objects = Dying()
    register = ReferenceRegister(
        store=world.store, objects=objects, clock=world.clock, purge_after=PURGE_AFTER, actor="operator"
    )
    put_family(objects, register, plan)
    (family,) = register.families()
    with pytest.raises(ObjectStoreUnavailableError):
        register.purge(family, "REQUEST")
    assert keys_of(objects, plan) == ["fold-01.safetensors", "folds.safetensors", "plan.json"]
    assert [family.state for family in register.families()] == ["unfinished"]


def test_killed_at_any_moment_taint_and_purge_are_done_and_told_once() -> None:
    moment = 0
    while True:
        moment += 2
        world = World(accept)
        world.register()
        put_family(world.objects, register_of(world), plan_of(world))
        put_members(world.objects, register_of(world), plan_of(world, seed=5))
        world.submit("train-03")
        faults = Faults(moment)
        killed = live(world, faults)
        for _ in range(2):  # before the deadline, and after it
            world.wait_for_jobs()
            live(world, Faults(0))
        assert [run.phase for run in world.store._runs.values()] == [RunPhase.COMMITTED]  # type: ignore[attr-defined]
        assert list(world.objects.keys("references")) == []
        assert sorted(kinds(world)) == ["purged", "purged", "registered", "tainted", "tainted"]
        if not killed:
            break
    assert moment > 60, "the story has become so short that it tests nothing"


def live(world: World, faults: Faults) -> bool:
    """Live until the ticket is closed and the deadline is past; return whether the process was killed meanwhile."""
    service = world.process(
        store=faults.guard(world.store), objects=faults.guard(world.objects), runner=faults.guard(world.runner)
    )
    try:
        world.drive(lambda: service)
        world.clock.advance(PURGE_AFTER + TEND_INTERVAL)
        world.round(service)
    except Kill:
        return True
    return False


def test_no_members_key_names_a_sample_or_a_person(world: World) -> None:
    folder = put_members(world.objects, register_of(world), plan_of(world))
    assert member_key(folder, 1) == f"references/{LINEAGE}/{plan_of(world).digest}/fold-01.safetensors"
