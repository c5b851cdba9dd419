"""Placing, releasing and listing holds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog.testing

from service.domain.deadline import Regime
from service.domain.hold import HoldState, HoldTreatment
from service.domain.ledger import LedgerKind
from service.domain.submission import Submission
from service.errors import (
    DuplicateSampleIdsError,
    RequestIdReusedError,
    ServiceError,
    StaleVersionError,
    UnknownHoldError,
    UnknownLineageError,
    UnknownSampleIdsError,
)
from service.hold_port import HoldQuery
from service.ports import Change, Store
from tests.records import LINEAGE, TENANT
from tests.world import ACTOR, KEY, World


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def world() -> World:
    world = World()
    world.register()
    return world


def test_a_hold_knows_what_it_rests_on_and_its_samples_as_a_commitment(world: World) -> None:
    hold = world.hold("train-03", "train-11")

    assert (hold.state, hold.sample_count, hold.treatment) == (HoldState.ACTIVE, 2, HoldTreatment.RESTRICT)
    assert hold.ids_commitment == KEY.of_sample_ids(["train-11", "train-03"])
    assert (hold.placed_at, hold.placed_by) == (world.clock.now(), ACTOR)
    assert "train" not in repr(hold)
    assert world.store.hold(hold.hold_id) == hold


def test_an_order_that_is_repeated_places_one_hold(world: World) -> None:
    first, again = world.hold("train-03"), world.hold("train-03")

    assert again == first
    assert [entry.kind for entry in world.ledger()].count(LedgerKind.HOLD_PLACED) == 1


def test_an_order_is_repeated_even_after_its_hold_ended_and_its_samples_are_forgotten(world: World) -> None:
    hold = world.end_hold(world.hold("train-03"))
    world.submit("train-03")
    world.drive()

    assert world.hold("train-03") == hold


@pytest.mark.parametrize(
    ("sample_ids", "treatment"),
    [(("train-04",), HoldTreatment.RESTRICT), (("train-03",), HoldTreatment.RETAIN)],
)
def test_a_request_id_is_not_used_for_another_order(
    world: World, sample_ids: tuple[str, ...], treatment: HoldTreatment
) -> None:
    hold = world.hold("train-03")

    with pytest.raises(RequestIdReusedError) as raised:
        world.hold(*sample_ids, treatment=treatment)
    assert raised.value.metadata == {"hold_id": hold.hold_id}


class _OtherWins:
    """A store in which somebody else saves first."""

    def __init__(self, store: Store, other: Change) -> None:
        self._store, self._others = store, [other]

    def save(self, change: Change) -> None:
        while self._others:
            self._store.save(self._others.pop())
        self._store.save(change)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_of_equal_orders_at_once_one_places_the_hold(world: World) -> None:
    hold = replace(world.hold("train-03"), version=0)
    other = World()
    other.register()
    store: Any = _OtherWins(other.store, Change(holds=(hold,)))
    other.service = other.process(store=store)

    assert other.hold("train-03").hold_id == hold.hold_id


def test_a_lineage_that_changes_meanwhile_is_read_again(world: World) -> None:
    model = world.store.model(LINEAGE)
    assert model is not None
    store: Any = _OtherWins(world.store, Change(models=(replace(model, runs_started=1),)))
    world.service = world.process(store=store)
    hold = world.hold("train-03")

    assert world.store.active_holds(LINEAGE) == [hold]
    changed = world.store.model(LINEAGE)
    assert changed is not None
    assert changed.runs_started == 1, "the other change is not undone"


@pytest.mark.parametrize(
    ("sample_ids", "error", "positions"),
    [
        (("train-03", "nobody", "heldout-01"), UnknownSampleIdsError, (1, 2)),
        (("train-03", "train-04", "train-03"), DuplicateSampleIdsError, (2,)),
    ],
)
def test_ids_that_name_no_training_sample_once_are_refused_by_position(
    world: World, sample_ids: tuple[str, ...], error: type[UnknownSampleIdsError], positions: tuple[int, ...]
) -> None:
    with pytest.raises(error) as raised:
        world.hold(*sample_ids)

    assert raised.value.positions == positions
    assert "nobody" not in str(raised.value)
    assert world.store.active_holds(LINEAGE) == []


def test_another_tenants_holds_and_lineages_are_unknown(world: World) -> None:
    hold = world.hold("train-03")
    intake = world.service.intake

    with pytest.raises(UnknownHoldError):
        intake.get_hold(hold.hold_id, tenant="other")
    with pytest.raises(UnknownHoldError):
        intake.release_hold(hold.hold_id, request_id="end", reason="x", tenant="other", actor=ACTOR)
    assert intake.list_holds(HoldQuery(tenant="other")) == []
    with pytest.raises(UnknownLineageError):
        intake.get_model(LINEAGE, tenant="other")


def _ended(world: World, hold_id: str, **changes: Any) -> Any:
    arguments = {"request_id": "end", "reason": "Case closed", "tenant": TENANT, "actor": ACTOR} | changes
    return world.service.intake.release_hold(hold_id, **arguments).hold


def test_a_release_that_is_repeated_has_no_second_effect(world: World) -> None:
    hold = world.hold("train-03")
    first = _ended(world, hold.hold_id, expected_version=hold.version)
    again = _ended(world, hold.hold_id, expected_version=hold.version)

    assert first == again
    assert first.release is not None
    assert (first.release.reason, first.release.actor) == ("Case closed", ACTOR)
    assert [entry.kind for entry in world.ledger()].count(LedgerKind.HOLD_RELEASED) == 1


def test_releasing_a_released_hold_gets_it_as_it_is(world: World) -> None:
    hold = world.hold("train-03")
    first = _ended(world, hold.hold_id)

    assert _ended(world, hold.hold_id, request_id="another", reason="Another") == first


@pytest.mark.parametrize(
    ("changes", "error"), [({"reason": "Another"}, RequestIdReusedError), ({"expected_version": 7}, StaleVersionError)]
)
def test_a_release_that_does_not_fit_is_refused(
    world: World, changes: dict[str, Any], error: type[ServiceError]
) -> None:
    hold = world.hold("train-03")
    if "reason" in changes:
        _ended(world, hold.hold_id)

    with pytest.raises(error):
        _ended(world, hold.hold_id, **changes)


def test_a_request_id_that_ended_one_hold_ends_no_other(world: World) -> None:
    first, second = world.hold("train-03", request_id="1"), world.hold("train-04", request_id="2")
    _ended(world, first.hold_id)

    with pytest.raises(RequestIdReusedError):
        _ended(world, second.hold_id)
    assert world.store.active_holds(LINEAGE) == [second]


def test_holds_are_listed_with_the_open_tickets_that_name_a_sample_of_them(world: World) -> None:
    world.hold("train-03", request_id="1")
    world.hold("train-03", "train-04", request_id="2")
    world.submit("train-03", "train-11")
    world.submit("train-04", request_id="other")
    listed = world.service.intake.list_holds(HoldQuery(tenant=TENANT))

    assert [(standing.hold.request_id, standing.waiting_tickets) for standing in listed] == [("2", 2), ("1", 1)]


def test_a_preview_claims_nothing_for_held_samples(world: World) -> None:
    world.hold("train-03", "train-11")
    submission = Submission(
        lineage=LINEAGE, request_id="preview", sample_ids=("train-03", "train-11"), regime=Regime.GDPR
    )

    assert world.service.intake.preview_ticket(submission, tenant=TENANT).claim == "Nothing is left to forget."
