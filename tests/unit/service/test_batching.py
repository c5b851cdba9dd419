"""Batching: what a run's specification freezes, and what happens when somebody else is faster."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.config import RetrainRung, default_ladder
from service.batching import resolution_of
from service.domain.canary import CanaryBatch
from service.domain.drift import DriftBudget
from service.domain.ledger import LedgerKind
from service.domain.model import Model
from service.domain.run import FailureKind, RunCanaries, RunPhase, UnlearningRun
from service.domain.ticket import Ticket, TicketState
from service.domain.ticket_query import TicketQuery
from service.errors import ServiceError, UnknownSampleIdsError
from tests.attempts import accept, fails
from tests.canaries import INCLUDED_ROWS, REGISTER, planted_row_of
from tests.memory_manifests import TRAIN, row_of
from tests.records import LINEAGE, RECIPE
from tests.results import POLICY
from tests.world import CANARIES_PER_RUN, World, plain_world, world_with_canaries


def scheduled(*requests: tuple[str, ...], make: Callable[..., World] = plain_world) -> tuple[World, list[Ticket]]:
    """Return a world with a scheduled ticket for each of these sets of ids."""
    world = make(accept)
    world.register(baseline_train_accuracy=0.9875)
    for number, sample_ids in enumerate(requests):
        world.submit(*sample_ids, request_id=f"{number}")
    world.service.workflow.schedule_tickets()
    return world, world.service.workflow.waiting()[LINEAGE]


def model_of(world: World) -> Model:
    model = world.store.model(LINEAGE)
    assert model is not None
    return model


def opened(world: World, tickets: list[Ticket]) -> UnlearningRun | None:
    return world.service.workflow.batcher.open_run(model_of(world), tickets)


def test_the_specification_freezes_all_that_decides_the_result() -> None:
    world, tickets = scheduled(("train-03", "train-04"))
    run = opened(world, tickets)

    assert run is not None
    model, spec = model_of(world), run.spec
    assert (spec.lineage, spec.sequence, spec.seed, spec.base_release) == (LINEAGE, 1, 1, 1)
    assert (spec.base_model_digest, spec.manifest_digest) == (model.weights_digest, model.manifest.digest)
    assert (spec.architecture, spec.policy, spec.forget_count) == (model.architecture, POLICY, 2)
    assert spec.config.ladder == default_ladder(RECIPE)
    assert spec.baseline_train_accuracy == 0.9875
    assert spec.resolution_digest == resolution_of(model, {row_of("train-03"), row_of("train-04")}, {}).digest


def test_run_and_tickets_are_saved_together_with_their_entries() -> None:
    world, tickets = scheduled(("train-03",), ("train-04",))
    run = opened(world, tickets)

    assert run is not None
    assert run.run_id == run.spec.run_id
    assert run.ticket_ids == tuple(ticket.ticket_id for ticket in tickets)
    assert {(ticket.state, ticket.run_id) for ticket in map(world.ticket, tickets)} == {
        (TicketState.PROCESSING, run.run_id)
    }
    kinds = [entry.kind for entry in world.ledger()]
    assert kinds[-3:] == [LedgerKind.RUN_CREATED, LedgerKind.TICKET_CHANGED, LedgerKind.TICKET_CHANGED]
    assert model_of(world).runs_started == 1


def test_the_claimed_accuracy_is_that_of_the_registered_model_alone() -> None:
    world, _ = scheduled(("train-03",), make=World)
    world.drive()
    ticket = world.submit("train-05", request_id="second")
    world.drive()

    assert world.run(ticket).spec.baseline_train_accuracy is None


def test_without_a_recipe_the_ladder_has_no_exact_retraining() -> None:
    world = plain_world(accept)
    world.register(recipe=None)
    ticket = world.submit("train-03")
    world.drive()

    assert not any(isinstance(rung, RetrainRung) for rung in world.run(ticket).spec.config.ladder)


def _other_controller(world: World, tickets: list[Ticket]) -> None:
    opened(world, tickets)


def _withdrawn(world: World, tickets: list[Ticket]) -> None:
    world.service.intake.cancel_ticket(tickets[0].ticket_id, tenant=tickets[0].tenant, actor="bob")


def _run_from_elsewhere(world: World, tickets: list[Ticket]) -> None:
    model = model_of(world)
    world.store._models[LINEAGE] = replace(model, version=model.version + 1)  # type: ignore[attr-defined]  # memory's


def test_when_somebody_else_is_faster_no_run_is_opened_and_nothing_is_changed() -> None:
    meanwhiles: list[Callable[[World, list[Ticket]], None]] = [_other_controller, _withdrawn, _run_from_elsewhere]
    for meanwhile in meanwhiles:
        world, tickets = scheduled(("train-03",), ("train-04",))
        model = model_of(world)
        meanwhile(world, tickets)
        before = world.ledger()

        assert world.service.workflow.batcher.open_run(model, tickets) is None
        assert world.ledger() == before


def test_what_is_forgotten_already_does_not_count_towards_a_batchs_limit() -> None:
    world, _ = scheduled(TRAIN[:5], make=World)
    world.drive()
    service = world.process(max_forget_fraction=2.5 / model_of(world).manifest.train_rows)
    one = world.submit(*TRAIN[:5], TRAIN[5], request_id="one more")
    two = world.submit(*TRAIN[:5], TRAIN[6], request_id="another one")
    world.drive(lambda: service)

    assert world.run(one).run_id == world.run(two).run_id
    assert world.run(one).spec.forget_count == 2


# Canaries


def planted_world(*sample_ids: str) -> tuple[World, list[Ticket]]:
    """Return a world with canaries and one scheduled ticket."""
    world = world_with_canaries(accept)
    world.register()
    world.submit(*sample_ids)
    world.service.workflow.schedule_tickets()
    return world, world.service.workflow.waiting()[LINEAGE]


def taken_rows(world: World, run_id: str, *, included: bool) -> list[int]:
    canaries = world.store.canaries(LINEAGE)
    return [one.row for one in canaries if one.used_by_run == run_id and one.is_included is included]


def test_a_run_takes_canaries_of_either_kind_in_the_transaction_that_opens_it() -> None:
    world, tickets = planted_world("train-03")
    run = opened(world, tickets)

    assert run is not None
    included, excluded = (taken_rows(world, run.run_id, included=kind) for kind in (True, False))
    assert len(included) == len(excluded) == CANARIES_PER_RUN
    assert run.spec.canaries == RunCanaries(
        included=CANARIES_PER_RUN,
        excluded=CANARIES_PER_RUN,
        wanted=CANARIES_PER_RUN,
        commitment=REGISTER.commitment,
        mislabelled=REGISTER.mislabelled,
    )
    assert (run.spec.forget_count, run.spec.unlearned_count) == (1, 1 + CANARIES_PER_RUN)
    batch = CanaryBatch(included=tuple(included), excluded=tuple(excluded))
    resolution = resolution_of(model_of(world), {planted_row_of("train-03")}, {}, batch)
    assert run.spec.resolution_digest == resolution.digest


def test_a_run_that_somebody_else_opened_leaves_the_canaries_alone() -> None:
    world, tickets = planted_world("train-03")
    model = model_of(world)
    first = opened(world, tickets)

    assert first is not None
    before = list(world.store.canaries(LINEAGE))
    assert world.service.workflow.batcher.open_run(model, tickets) is None
    assert list(world.store.canaries(LINEAGE)) == before


def test_a_canary_that_a_ticket_names_is_a_sample_like_any_other() -> None:
    named = REGISTER.included_ids[:3]
    world, tickets = planted_world("train-03", *named)
    run = opened(world, tickets)

    assert run is not None
    assert run.spec.forget_count == 4
    rows = {planted_row_of(sample_id) for sample_id in named}
    assert rows.isdisjoint(taken_rows(world, run.run_id, included=True))


def test_a_canary_that_was_kept_out_is_no_training_sample_to_ask_for() -> None:
    world = world_with_canaries(accept)
    world.register()

    with pytest.raises(UnknownSampleIdsError, match="1 held out"):
        world.submit(REGISTER.excluded_ids[0])


def test_canaries_do_not_count_towards_a_batchs_limit() -> None:
    world, _ = planted_world("train-03", "train-04")
    service = world.process(max_forget_fraction=2 / 25)
    world.drive(lambda: service)

    (run,) = {world.run(ticket).run_id: world.run(ticket) for ticket in world.store.tickets(TicketQuery())}.values()
    assert run.spec.unlearned_count == 2 + CANARIES_PER_RUN > 2 / 25 * model_of(world).manifest.train_rows


def test_canaries_leave_most_of_what_is_kept() -> None:
    world, _ = planted_world(*TRAIN)
    ticket = world.store.tickets(TicketQuery())[0]
    world.drive()

    run = world.run(ticket)
    kept = model_of(world).manifest.train_rows - len(TRAIN)
    assert run.spec.canaries is not None
    assert run.spec.canaries.included == min(CANARIES_PER_RUN, kept // 2)


def test_with_canaries_turned_off_a_run_has_none() -> None:
    world, tickets = planted_world("train-03")
    run = replace(world.service.workflow.batcher, canaries_per_run=0).open_run(model_of(world), tickets)

    assert run is not None
    assert run.spec.canaries is None
    assert {canary.used_by_run for canary in world.store.canaries(LINEAGE)} == {None}


def test_canaries_are_used_up_once_and_the_plan_of_a_run_that_lacks_them_says_so() -> None:
    world = world_with_canaries(accept)
    world.register()
    used: list[tuple[int, ...]] = []
    for number in range(4):
        ticket = world.submit(f"train-{number:02d}", request_id=f"{number}")
        world.drive()
        run = world.run(ticket)
        assert run.spec.canaries is not None
        used.append(tuple(taken_rows(world, run.run_id, included=True)))
        assert run.spec.canaries.included == len(used[-1])
    every = [row for rows in used for row in rows]

    assert sorted(every) == sorted(INCLUDED_ROWS), "each once"
    assert [len(rows) for rows in used] == [3, 3, len(INCLUDED_ROWS) - 6, 0]
    assert [
        order.plan.canaries and (order.plan.canaries.included, order.plan.canaries.wanted) for order in world.orders
    ] == [(3, CANARIES_PER_RUN), (3, CANARIES_PER_RUN), (len(INCLUDED_ROWS) - 6, CANARIES_PER_RUN), None]
    assert world.store.totals().canaries_left == ((LINEAGE, 0),)


def test_what_a_failed_run_had_taken_is_free_for_the_next_one() -> None:
    world = world_with_canaries(fails(FailureKind.INPUT), accept)
    world.register()
    failed = world.submit("train-03", request_id="fails")
    world.drive()
    lost = world.run(failed)
    assert lost.phase is RunPhase.FAILED
    assert world.store.totals().canaries_left == ((LINEAGE, len(INCLUDED_ROWS)),)

    for number in range(2):
        world.submit(f"train-{number:02d}", request_id=f"{number}")
        world.drive()
    forgotten = world.store.forgotten_rows(LINEAGE).keys() & set(INCLUDED_ROWS)
    assert len(forgotten) == 2 * CANARIES_PER_RUN
    assert world.store.totals().canaries_left == ((LINEAGE, len(INCLUDED_ROWS) - len(forgotten)),)


requests = st.lists(st.frozensets(st.sampled_from(TRAIN), min_size=1, max_size=8), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(requests, st.floats(0.01, 0.99))
def test_a_batch_keeps_its_limit_unless_its_oldest_ticket_alone_breaks_it(
    wishes: list[frozenset[str]], max_forget_fraction: float
) -> None:
    world, tickets = scheduled(*(tuple(sorted(wish)) for wish in wishes))
    batcher = world.process(max_forget_fraction=max_forget_fraction).workflow.batcher
    run = batcher.open_run(model_of(world), tickets)

    assert run is not None
    assert run.ticket_ids[0] == tickets[0].ticket_id
    assert run.spec.forget_count <= max(len(wishes[0]), max_forget_fraction * len(TRAIN))
    assert run.spec.forget_count < len(TRAIN)
    joined = set().union(
        *(wish for wish, ticket in zip(wishes, tickets, strict=True) if ticket.ticket_id in run.ticket_ids)
    )
    assert run.spec.forget_count == len(joined)


@settings(max_examples=30, deadline=None)
@given(requests)
def test_whatever_is_asked_for_every_ticket_ends_or_reaches_a_person(wishes: list[frozenset[str]]) -> None:
    world = plain_world(accept)
    world.register()
    tickets = []
    for number, wish in enumerate(wishes):
        try:
            tickets.append((wish, world.submit(*sorted(wish), request_id=f"{number}")))
        except ServiceError:
            continue
        if number % 2:
            world.round()
    world.drive()

    forgotten = set(world.store.forgotten_rows(LINEAGE))
    assert len(forgotten) < len(TRAIN)
    for wish, ticket in tickets:
        rows = {row_of(sample_id) for sample_id in wish}
        ended = world.ticket(ticket)
        assert ended.state in {TicketState.SUCCEEDED, TicketState.NEEDS_ATTENTION}
        assert (ended.state is TicketState.SUCCEEDED) == (rows <= forgotten)
        if ended.state is TicketState.SUCCEEDED:
            assert all(world.store.forgotten_rows(LINEAGE)[row] <= (ended.release_number or 0) for row in rows)
    assert world.ledger()


# Drift


def rungs(world: World) -> list[str]:
    """Return the rung that each of the lineage's releases came from, oldest first."""
    runs = (world.store.run(release.run_id or "") for release in world.releases()[1:])
    return [run.attempts[-1].rung_kind for run in runs if run is not None]


def forget_one_by_one(world: World, count: int) -> World:
    for name in TRAIN[:count]:
        world.submit(name, request_id=name)
        world.drive()
    return world


def test_after_as_many_runs_as_the_budget_has_the_next_one_retrains_and_the_count_begins_anew() -> None:
    world = World(accept, drift_budget=DriftBudget(runs=2, forget_share=1.0))
    world.register()
    forget_one_by_one(world, 6)

    assert rungs(world) == ["mcu", "mcu", "retrain", "mcu", "mcu", "retrain"]
    assert [release.is_retrained for release in world.releases()] == [
        False, False, False, True, False, False, True,
    ]  # fmt: skip


def test_after_as_many_samples_as_the_budget_has_the_next_run_retrains() -> None:
    share = 1.5 * (1 + CANARIES_PER_RUN) / 44  # of 44 training samples, more than one run forgets, less than two do
    world = World(accept, drift_budget=DriftBudget(runs=1000, forget_share=share))
    world.register()
    forget_one_by_one(world, 3)

    assert rungs(world) == ["mcu", "mcu", "retrain"]


def test_a_run_that_must_retrain_says_so_in_the_ledger() -> None:
    world = World(accept, drift_budget=DriftBudget(runs=1, forget_share=1.0))
    world.register()
    forget_one_by_one(world, 2)
    first, second = (entry for entry in world.ledger() if entry.kind is LedgerKind.RUN_CREATED)

    assert "reason" not in first.payload
    assert str(second.payload["reason"]).startswith("the drift budget is used up, so it retrains: 1 runs")


def test_without_a_recipe_nothing_can_be_retrained_and_the_ratio_goes_on_rising() -> None:
    budget = DriftBudget(runs=1, forget_share=1.0)
    world = World(accept, drift_budget=budget)
    world.register(recipe=None)
    forget_one_by_one(world, 3)

    assert rungs(world) == ["mcu", "mcu", "mcu"]
    ((lineage, drift),) = world.store.totals().drift
    assert (lineage, budget.used(drift)) == (LINEAGE, 3.0)
