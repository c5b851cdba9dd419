"""What holds do to tickets and runs, at every moment at which one can come or end."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_core.report import AuditReport
from service import resolution_file
from service.domain.deadline import SlaState, sla_state
from service.domain.hold import Hold, HoldTreatment
from service.domain.ledger import LedgerKind
from service.domain.release import report_key, weights_key
from service.domain.resolution import Resolution
from service.domain.run import RunPhase, UnlearningRun, WorkOrder, resolution_key
from service.domain.ticket import Ticket, TicketState
from service.errors import ForgottenSampleIdsError, HoldActiveError
from service.ports import Change, ObjectStore, Store, manifest_key
from service.premises import PremiseSource
from tests.attempts import Attempt, accept, dies, reject
from tests.canaries import REGISTER
from tests.memory_manifests import ROWS, row_of
from tests.records import LINEAGE
from tests.world import KEY, World, world_with_canaries

ROW_03, ROW_11, ROW_12 = row_of("train-03"), row_of("train-11"), row_of("train-12")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def registered(*attempts: Attempt, **ports: Any) -> World:
    world = World(*attempts, **ports)
    world.register()
    return world


def forgotten(world: World) -> dict[int, int]:
    """Return what people asked for: the rows that were forgotten, canaries left out, each with its release."""
    return {row: number for row, number in world.store.forgotten_rows(LINEAGE).items() if row < len(ROWS)}


def resolution_of(order: WorkOrder, objects: ObjectStore) -> Resolution:
    return resolution_file.decode(objects.read(resolution_key(order.run_id)))


def runs_of(world: World) -> list[UnlearningRun]:
    subjects = dict.fromkeys(e.subject for e in world.ledger() if e.kind is LedgerKind.RUN_CREATED)
    return [run for run in map(world.store.run, subjects) if run is not None]


class Noting:
    """An attempt that notes the parts that it was given, and lets something happen meanwhile, the first time."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.seen: list[Resolution] = []
        self._meanwhile = meanwhile

    def __call__(self, order: WorkOrder, objects: ObjectStore) -> int:
        self.seen.append(resolution_of(order, objects))
        if len(self.seen) == 1:
            self._meanwhile()
        return accept(order, objects)


# Before a run


def test_a_ticket_whose_samples_are_all_held_waits_and_goes_on_by_itself_when_the_hold_ends() -> None:
    world = registered()
    hold = world.hold("train-03", "train-11", "train-15")
    ticket = world.submit("train-03", "train-11")
    world.drive()

    waiting = world.ticket(ticket)
    assert (waiting.state, waiting.run_id, forgotten(world)) == (TicketState.ON_HOLD, None, {})
    assert [reason.code for reason in waiting.reasons] == ["HOLD_ACTIVE"]

    world.end_hold(hold)
    world.drive()
    assert (world.ticket(ticket).state, world.ticket(ticket).reasons) == (TicketState.SUCCEEDED, ())
    assert forgotten(world) == {ROW_03: 2, ROW_11: 2}


def test_a_ticket_of_which_some_samples_are_held_is_served_for_the_others_and_then_waits() -> None:
    noting = Noting()
    world = registered(noting)
    hold = world.hold("train-03")
    ticket = world.submit("train-03", "train-11", "train-12")
    world.drive()

    waiting = world.ticket(ticket)
    assert (waiting.state, waiting.closed_at, waiting.release_number) == (TicketState.ON_HOLD, None, None)
    assert waiting.forgotten_count == 2
    assert "1 of its 3 samples are under a hold, 2 are forgotten" in waiting.reasons[0].text
    assert forgotten(world) == {ROW_11: 2, ROW_12: 2}
    assert noting.seen[0].held == (ROW_03,)
    assert ROW_03 not in noting.seen[0].unlearned

    world.end_hold(hold)
    world.drive()
    done = world.ticket(ticket)
    assert (done.state, done.release_number) == (TicketState.SUCCEEDED, 3)
    assert forgotten(world) == {ROW_03: 3, ROW_11: 2, ROW_12: 2}
    assert noting.seen[1].forget == (ROW_03,)


def test_a_held_sample_that_no_ticket_names_is_in_neither_d_f_nor_d_r() -> None:
    noting = Noting()
    world = registered(noting)
    world.hold("train-15")
    world.submit("train-03")
    world.drive()

    (parts,) = noting.seen
    assert parts.held == (row_of("train-15"),)
    assert parts.forget == (ROW_03,)
    report = world.objects.read(report_key(LINEAGE, world.orders[0].run_id, "json"))
    assert AuditReport.model_validate_json(report).judgement.verdict.accepts


def test_a_held_sample_that_is_retained_stays_in_d_r_and_out_of_d_f() -> None:
    noting = Noting()
    world = registered(noting)
    world.hold("train-03", treatment=HoldTreatment.RETAIN)
    ticket = world.submit("train-03", "train-11")
    world.drive()

    (parts,) = noting.seen
    assert (parts.held, parts.forget) == ((), (ROW_11,))
    assert world.ticket(ticket).state is TicketState.ON_HOLD


def test_a_ticket_waits_for_the_last_of_the_holds_on_its_sample() -> None:
    world = registered()
    first = world.hold("train-03", request_id="first")
    second = world.hold("train-03", request_id="second", treatment=HoldTreatment.RETAIN)
    ticket = world.submit("train-03")
    world.drive()
    world.end_hold(first)
    world.drive()
    assert world.ticket(ticket).state is TicketState.ON_HOLD

    world.end_hold(second)
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED


def test_the_samples_of_waiting_tickets_are_read_again_only_when_a_hold_or_a_ticket_has_changed() -> None:
    class Counting:
        reads = 0

        def __getattr__(self, name: str) -> Any:
            self.reads += name == "held_counts"
            return getattr(world.store, name)

    world = registered()
    counting = Counting()
    store: Any = counting
    held = world.process(store=store).workflow.held
    world.submit("train-03", "train-11")
    held.sort_tickets()
    assert counting.reads == 0, "without holds there is nothing to compare"

    world.hold("train-03")
    for _ in range(3):
        held.sort_tickets()
    assert counting.reads == 1
    world.submit("train-03", request_id="second")
    for _ in range(3):
        held.sort_tickets()
    assert counting.reads == 3, "once for the new ticket, and once for the state that it then has"


def test_a_hold_takes_only_its_own_samples_out() -> None:
    world = registered()
    world.hold("train-03")
    held, other = world.submit("train-03"), world.submit("train-11", request_id="other")
    world.drive()

    assert world.ticket(held).state is TicketState.ON_HOLD
    assert world.ticket(other).state is TicketState.SUCCEEDED


def test_the_due_time_does_not_wait_for_a_hold() -> None:
    world = registered()
    ticket = world.submit("train-03")
    world.hold("train-03")
    world.drive()
    world.clock.advance(timedelta(days=62))
    world.round()

    late = world.ticket(ticket)
    assert (late.state, late.due_at) == (TicketState.ON_HOLD, ticket.due_at)
    assert sla_state(late.received_at, late.due_at, late.closed_at, world.clock.now()) is SlaState.OVERDUE


def test_what_is_left_of_a_ticket_may_be_held_after_the_rest_was_forgotten_by_another_one() -> None:
    world = registered()
    world.submit("train-11", request_id="first")
    world.drive()
    hold = world.hold("train-03")
    ticket = world.submit("train-03", "train-11", request_id="second")
    world.drive()
    assert (world.ticket(ticket).state, world.ticket(ticket).forgotten_count) == (TicketState.ON_HOLD, 1)
    assert len(runs_of(world)) == 1, "no run for nothing"

    world.end_hold(hold)
    world.drive()
    assert (world.ticket(ticket).state, forgotten(world)) == (TicketState.SUCCEEDED, {ROW_11: 2, ROW_03: 3})


def test_a_held_canary_is_no_canary_of_a_run() -> None:
    noting = Noting()
    world = world_with_canaries(noting)
    world.register()
    world.hold(*REGISTER.included_ids[:2])
    world.submit("train-03")
    world.drive()

    (parts,) = noting.seen
    assert len(parts.held) == 2
    assert set(parts.held).isdisjoint(parts.unlearned)


# During a run


def test_a_hold_that_comes_while_a_run_waits_to_resolve_ends_it_before_anything_is_started() -> None:
    world = registered(accept)
    ticket = world.submit("train-03", "train-11")
    workflow = world.service.workflow
    workflow.schedule_tickets()
    for lineage, tickets in workflow.waiting().items():
        workflow.open_run(lineage, tickets)
    assert world.ticket(ticket).state is TicketState.PROCESSING

    hold = world.hold("train-03")
    require_made_way(world, ticket, hold, attempts_of_first_run=0)


def test_a_hold_that_comes_between_resolving_and_the_start_ends_the_run() -> None:
    world = registered(accept)
    ticket = world.submit("train-03", "train-11")
    workflow = world.service.workflow
    workflow.schedule_tickets()
    for lineage, tickets in workflow.waiting().items():
        workflow.open_run(lineage, tickets)
    (run,) = world.store.active_runs()
    while run.phase is not RunPhase.UNLEARNING:
        run = workflow.advance_run(run)

    hold = world.hold("train-03")
    require_made_way(world, ticket, hold, attempts_of_first_run=0)


def test_a_hold_that_comes_while_the_job_runs_ends_the_run_before_publishing() -> None:
    world = registered()
    holds: list[Hold] = []
    world.attempts = (Noting(lambda: holds.append(world.hold("train-03"))),)
    ticket = world.submit("train-03", "train-11")
    world.round()

    require_made_way(world, ticket, *holds, attempts_of_first_run=1)


@pytest.mark.parametrize("failing", [dies, reject])
def test_a_hold_that_comes_during_an_attempt_is_seen_when_the_next_one_starts(failing: Attempt) -> None:
    world = registered()
    holds: list[Hold] = []

    def held_meanwhile(order: WorkOrder, objects: ObjectStore) -> int:
        holds.append(world.hold("train-03"))
        return failing(order, objects)

    world.attempts = (held_meanwhile, accept)
    ticket = world.submit("train-03", "train-11")
    world.round()

    require_made_way(world, ticket, *holds, attempts_of_first_run=1)


def require_made_way(world: World, ticket: Ticket, hold: Hold, *, attempts_of_first_run: int) -> None:
    """The run was given up without a failure, another one served what is not held, and the rest when the hold ended."""
    world.drive()
    first, second = runs_of(world)
    assert (first.phase, first.reason.partition(":")[0]) == (RunPhase.ABANDONED, "HOLD_PLACED")
    assert sum(order.run_id == first.run_id for order in world.orders) == attempts_of_first_run
    assert (RunPhase.ABANDONED, None) in world.observed.closed, "nobody failed"
    assert second.phase is RunPhase.COMMITTED
    assert forgotten(world) == {ROW_11: 2}
    assert world.ticket(ticket).state is TicketState.ON_HOLD
    assert [release.run_id for release in world.releases()] == [None, second.run_id]
    assert world.objects.head(report_key(LINEAGE, first.run_id, "json")) is None

    world.end_hold(hold)
    world.drive()
    assert (world.ticket(ticket).state, forgotten(world)) == (TicketState.SUCCEEDED, {ROW_11: 2, ROW_03: 3})


class _HeldBeforeRelease:
    """A store in which a hold comes at the last moment before a release is saved."""

    def __init__(self, store: Store, hold: Callable[[], object]) -> None:
        self._store, self._hold = store, hold
        self.was_held = False

    def save(self, change: Change) -> None:
        if change.releases and not self.was_held:
            self.was_held = True
            self._hold()
        self._store.save(change)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_hold_that_comes_at_the_very_moment_of_publishing_is_kept() -> None:
    world = registered()
    store: Any = _HeldBeforeRelease(world.store, lambda: world.hold("train-03"))
    service = world.process(store=store)
    ticket = world.submit("train-03")
    for _ in range(4):
        world.round(service)

    assert store.was_held
    assert world.ticket(ticket).state is TicketState.ON_HOLD
    assert forgotten(world) == {}
    assert [release.number for release in world.releases()] == [1]
    assert world.pointer()["release"] == 1
    assert world.objects.head(weights_key(LINEAGE, 2)) is None, "nothing of it is left where releases lie"


def test_a_hold_that_comes_at_the_very_moment_a_run_is_opened_is_seen() -> None:
    world = registered()
    ticket = world.submit("train-03", "train-11")
    workflow = world.service.workflow
    workflow.schedule_tickets()
    model = world.store.model(LINEAGE)
    assert model is not None
    world.hold("train-03")

    assert workflow.batcher.open_run(model, [world.ticket(ticket)]) is None
    assert world.store.active_runs() == []


def test_a_hold_after_publication_comes_too_late_and_says_so() -> None:
    world = registered()
    world.submit("train-03", "train-11")
    world.drive()

    with pytest.raises(ForgottenSampleIdsError, match="1 of 2 ids were forgotten") as raised:
        world.hold("train-12", "train-03")
    assert raised.value.positions == (1,)
    assert world.store.active_holds(LINEAGE) == []


def test_a_hold_on_a_sample_of_d_r_lets_an_attempt_that_has_started_go_on() -> None:
    world = registered()
    world.attempts = (Noting(lambda: world.hold("train-15")),)
    ticket = world.submit("train-03")
    world.drive()

    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert len(runs_of(world)) == 1


def test_a_hold_on_a_sample_of_d_r_lets_no_further_attempt_start() -> None:
    world = registered()
    noting = Noting()

    def held_meanwhile(order: WorkOrder, objects: ObjectStore) -> int:
        world.hold("train-15")
        return reject(order, objects)

    world.attempts = (held_meanwhile, noting)
    ticket = world.submit("train-03")
    world.drive()

    assert [run.phase for run in runs_of(world)] == [RunPhase.ABANDONED, RunPhase.COMMITTED]
    assert noting.seen[0].held == (row_of("train-15"),)
    assert world.ticket(ticket).state is TicketState.SUCCEEDED


def test_a_retaining_hold_on_a_sample_of_d_r_changes_nothing() -> None:
    world = registered()

    def held_meanwhile(order: WorkOrder, objects: ObjectStore) -> int:
        world.hold("train-15", treatment=HoldTreatment.RETAIN)
        return reject(order, objects)

    world.attempts = (held_meanwhile, accept)
    world.submit("train-03")
    world.drive()

    assert [run.phase for run in runs_of(world)] == [RunPhase.COMMITTED]


def test_a_hold_that_ends_while_a_run_waits_to_resolve_lets_it_go_on_as_it_was_frozen() -> None:
    noting = Noting()
    world = registered(noting)
    hold = world.hold("train-03")
    ticket = world.submit("train-03", "train-11")
    workflow = world.service.workflow
    workflow.schedule_tickets()
    for lineage, tickets in workflow.waiting().items():
        workflow.open_run(lineage, tickets)
    world.end_hold(hold)
    world.drive()

    first, second = runs_of(world)
    assert first.phase is second.phase is RunPhase.COMMITTED
    assert [parts.forget for parts in noting.seen] == [(ROW_11,), (ROW_03,)]
    assert world.ticket(ticket).state is TicketState.SUCCEEDED


def test_the_publisher_itself_refuses_to_forget_what_is_held() -> None:
    world = registered()
    ticket = world.submit("train-03")
    workflow = world.service.workflow
    workflow.schedule_tickets()
    for lineage, tickets in workflow.waiting().items():
        workflow.open_run(lineage, tickets)
    (run,) = world.store.active_runs()
    while run.phase is not RunPhase.PUBLISHING:
        run = workflow.advance_run(run)
        world.wait_for_jobs()
    world.hold("train-03")
    model = world.store.model(LINEAGE)
    assert model is not None

    with pytest.raises(HoldActiveError):
        workflow.publisher.publish(run, model, "controller")
    assert list(world.objects.keys("reports")) == []
    assert world.ticket(ticket).state is TicketState.PROCESSING


# Afterwards


def test_a_run_beside_a_hold_can_be_scored_once_more_after_the_hold_has_ended() -> None:
    noting = Noting()
    world = registered(noting)
    world.objects.create(manifest_key(world.registration.manifest_digest), b"is read by its source")
    hold = world.hold("train-03", "train-15")
    world.submit("train-03", "train-11")
    world.drive()
    world.end_hold(hold)
    order = world.orders[0]
    report = AuditReport.model_validate_json(world.objects.read(report_key(LINEAGE, order.run_id, "json")))
    source = PremiseSource(store=world.store, objects=world.objects, manifests=world.manifests, key=KEY)

    assert source.gather(report, order.planned_at).resolution == noting.seen[0]


def test_the_ledger_and_the_run_tell_of_a_hold_and_name_no_sample() -> None:
    world = registered()
    hold = world.hold("train-03")
    world.submit("train-03", "train-11")
    world.drive()
    world.end_hold(hold)

    told = [entry for entry in world.ledger() if entry.subject == hold.hold_id]
    assert [entry.kind for entry in told] == [LedgerKind.HOLD_PLACED, LedgerKind.HOLD_RELEASED]
    assert told[0].payload["legal_basis"] == "Court order 7 O 12/26"
    assert told[1].payload["reason"] == "Case closed"
    assert world.orders[0].spec.holds == (hold.hold_id,)
    assert not any("train-03" in str(entry) for entry in world.ledger())


SAMPLES = ("train-01", "train-02", "train-03", "train-04")
STEPS = st.one_of(
    st.tuples(st.just("submit"), st.sets(st.sampled_from(SAMPLES), min_size=1)),
    st.tuples(st.just("hold"), st.sets(st.sampled_from(SAMPLES), min_size=1)),
    st.tuples(st.just("end"), st.just(frozenset[str]())),
    st.tuples(st.just("round"), st.just(frozenset[str]())),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=10), st.sampled_from(HoldTreatment))
def test_whatever_comes_in_whatever_order_nothing_held_is_forgotten_and_every_ticket_ends_well(
    steps: list[tuple[str, frozenset[str]]], treatment: HoldTreatment
) -> None:
    world = registered()
    tickets: list[Ticket] = []
    active: list[tuple[Hold, frozenset[int]]] = []
    for number, (step, sample_ids) in enumerate(steps):
        before = forgotten(world)
        held = frozenset(row_of(name) for name in sample_ids if row_of(name) not in before)
        match step:
            case "submit":
                tickets.append(world.submit(*sorted(sample_ids), request_id=f"request {number}"))
            case "hold" if held:
                names = sorted(name for name in sample_ids if row_of(name) in held)
                active.append((world.hold(*names, request_id=f"hold {number}", treatment=treatment), held))
            case "end" if active:
                world.end_hold(active.pop(0)[0])
            case "round":
                world.round()
                came = forgotten(world).keys() - before.keys()
                assert all(came.isdisjoint(rows) for _, rows in active)
    for hold, _ in active:
        world.end_hold(hold)
    world.drive()

    assert [world.ticket(ticket).state for ticket in tickets] == [TicketState.SUCCEEDED] * len(tickets)
    assert [world.ticket(ticket).due_at for ticket in tickets] == [ticket.due_at for ticket in tickets]
