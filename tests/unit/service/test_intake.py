"""Taking in tickets: what is refused and by which position, what is repeated, who sees what."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Literal

import pytest

from service.adapters.memory_store import MemoryStore
from service.domain.commitment import CommitmentKey
from service.domain.deadline import Regime, due_time
from service.domain.ledger import LedgerKind
from service.domain.run import FailureKind, ProgressSnapshot, RunPhase, attempt_prefix
from service.domain.submission import Submission
from service.domain.ticket import Ticket, TicketState
from service.domain.ticket_query import TicketQuery
from service.errors import (
    DuplicateSampleIdsError,
    EmptyForgetSetError,
    ForgetSetTooLargeError,
    RequestIdReusedError,
    TicketNotCancellableError,
    UnknownLineageError,
    UnknownReportError,
    UnknownRunError,
    UnknownSampleIdsError,
    UnknownTicketError,
)
from service.ports import Change
from tests.attempts import accept, fails, reject
from tests.canaries import MANY
from tests.faults import Faults, Kill
from tests.memory_manifests import HELDOUT, TRAIN
from tests.records import LINEAGE, NOW, TENANT
from tests.world import ACTOR, KEY, World, plain_world


@pytest.fixture
def world() -> World:
    world = plain_world(accept)
    world.register()
    return world


@pytest.fixture
def accepting() -> World:
    """Return a world with canaries, in which a candidate can be accepted."""
    world = World(accept)
    world.register()
    return world


def submission(
    *sample_ids: str, lineage: str = LINEAGE, request_id: str = "request", regime: Regime = Regime.GDPR
) -> Submission:
    return Submission(lineage=lineage, request_id=request_id, sample_ids=sample_ids, regime=regime)


def require_nothing_stored(world: World) -> None:
    assert list(world.store.tickets(TicketQuery())) == []
    assert [entry.kind for entry in world.ledger()] == [LedgerKind.MODEL_REGISTERED]


# Acknowledged means stored


def test_an_acknowledged_ticket_is_stored_with_its_ids_and_its_ledger_entry(world: World) -> None:
    ticket = world.submit("train-07", "train-02")

    assert world.store.ticket(ticket.ticket_id) == ticket
    assert list(world.store.sample_ids(ticket.ticket_id)) == ["train-07", "train-02"]
    entry = world.ledger()[-1]
    assert (entry.kind, entry.subject, entry.actor) == (LedgerKind.TICKET_SUBMITTED, ticket.ticket_id, ACTOR)


def test_a_ticket_says_when_it_came_and_when_it_is_due(world: World) -> None:
    ticket = world.submit("train-07")

    assert ticket.received_at == world.clock.now()
    assert ticket.due_at == due_time(ticket.received_at, Regime.GDPR)
    assert ticket.state is TicketState.ACCEPTED


def test_a_ticket_and_its_entry_carry_commitments_instead_of_ids(world: World) -> None:
    ticket = world.submit("train-07", "train-02")

    assert ticket.ids_commitment == KEY.of_sample_ids(["train-02", "train-07"])
    assert "train-" not in repr(ticket)
    assert "train-" not in repr(world.ledger())
    assert ticket.ids_commitment != CommitmentKey(b"o" * 32).of_sample_ids(["train-02", "train-07"])


@pytest.mark.parametrize("moment", range(1, 13))
def test_a_request_that_is_repeated_after_any_crash_makes_one_ticket(world: World, moment: int) -> None:
    faults = Faults(moment)
    service = world.process(store=faults.guard(world.store), objects=faults.guard(world.objects))
    with suppress(Kill):
        world.submit("train-07", service=service)
    again = world.submit("train-07")

    assert [ticket.ticket_id for ticket in world.store.tickets(TicketQuery())] == [again.ticket_id]
    assert list(world.store.sample_ids(again.ticket_id)) == ["train-07"]
    assert [entry.kind for entry in world.ledger()].count(LedgerKind.TICKET_SUBMITTED) == 1


# Idempotency


def test_the_same_request_gets_the_same_ticket(world: World) -> None:
    first = world.submit("train-07", "train-02")
    world.clock.advance(timedelta(days=3))

    assert world.submit("train-07", "train-02") == first
    assert len(world.store.tickets(TicketQuery())) == 1


def test_the_same_request_gets_its_ticket_as_it_is_now_even_closed(accepting: World) -> None:
    first = accepting.submit("train-07")
    accepting.drive()

    again = accepting.submit("train-07")
    assert (again.ticket_id, again.state) == (first.ticket_id, TicketState.SUCCEEDED)


@pytest.mark.parametrize(
    "other",
    [
        submission("train-08"),
        submission("train-07", "train-08"),
        submission("train-08", "train-07"),
        submission("train-07", regime=Regime.CCPA),
        submission("train-07", lineage="another"),
        submission(),
        submission("nobody"),
    ],
)
def test_a_request_id_with_another_payload_is_refused(world: World, other: Submission) -> None:
    world.submit("train-07")

    with pytest.raises(RequestIdReusedError):
        world.service.intake.submit_ticket(other, tenant=TENANT, actor=ACTOR)
    assert len(world.store.tickets(TicketQuery())) == 1


def test_requests_sent_at_once_make_one_ticket(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        tickets = list(pool.map(lambda _: world.submit("train-07"), range(16)))

    assert len({ticket.ticket_id for ticket in tickets}) == 1
    assert len(world.store.tickets(TicketQuery())) == 1
    assert [entry.kind for entry in world.ledger()].count(LedgerKind.TICKET_SUBMITTED) == 1


@pytest.mark.parametrize("other", ["train-07", "train-08"])
def test_a_request_that_is_overtaken_by_itself_gets_the_winners_answer(other: str) -> None:
    class Overtaken(MemoryStore):
        meanwhile: Callable[[], object] | None = None

        def save(self, change: Change) -> None:
            if (meanwhile := self.meanwhile) is not None:
                self.meanwhile = None
                meanwhile()
            super().save(change)

    store = Overtaken()
    world = plain_world(store=store)
    world.register()
    store.meanwhile = lambda: world.submit(other)

    if other == "train-07":
        ticket = world.submit("train-07")
        assert [found.ticket_id for found in store.tickets(TicketQuery())] == [ticket.ticket_id]
    else:
        with pytest.raises(RequestIdReusedError):
            world.submit("train-07")
    assert [entry.kind for entry in world.ledger()].count(LedgerKind.TICKET_SUBMITTED) == 1


def test_of_requests_sent_at_once_with_one_id_and_two_payloads_one_is_refused(world: World) -> None:
    def submit(number: int) -> str:
        try:
            return world.submit(f"train-{number % 2:02d}").payload_digest
        except RequestIdReusedError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(8)))

    assert answers.count("refused") == 4
    assert len(set(answers)) == 2


# Refusals


def test_ids_that_are_unknown_or_held_out_are_named_by_their_positions(world: World) -> None:
    with pytest.raises(UnknownSampleIdsError, match="3 of 5 ids") as refused:
        world.submit("train-00", "nobody", HELDOUT[2], "train-01", "")

    assert refused.value.positions == (1, 2, 4)
    assert refused.value.metadata == {"unknown": "2", "heldout": "1"}
    assert "nobody" not in str(refused.value)
    require_nothing_stored(world)


def test_ids_named_twice_are_named_by_their_later_positions(world: World) -> None:
    with pytest.raises(DuplicateSampleIdsError, match="3 of 5 ids repeat") as refused:
        world.submit("train-00", "train-01", "train-00", "train-01", "train-00")

    assert refused.value.positions == (2, 3, 4)
    require_nothing_stored(world)


def test_a_ticket_without_ids_is_refused(world: World) -> None:
    with pytest.raises(EmptyForgetSetError):
        world.submit()
    require_nothing_stored(world)


def test_a_ticket_for_every_training_sample_is_refused(world: World) -> None:
    with pytest.raises(ForgetSetTooLargeError, match="20 more of 20"):
        world.submit(*TRAIN)
    require_nothing_stored(world)


def test_a_ticket_for_every_sample_that_is_left_is_refused() -> None:
    world = World(accept)
    world.register()
    world.submit(*TRAIN[:8])
    world.drive()

    with pytest.raises(ForgetSetTooLargeError):
        world.submit(*TRAIN[6:], *MANY.included_ids, request_id="rest")
    world.submit(*TRAIN[6:-1], *MANY.included_ids, request_id="rest")


def test_a_ticket_of_an_unknown_lineage_is_refused(world: World) -> None:
    with pytest.raises(UnknownLineageError):
        world.submit("train-00", lineage="another")
    require_nothing_stored(world)


# Preview


def test_a_preview_tells_what_would_come_of_it_and_stores_nothing(world: World) -> None:
    preview = world.service.intake.preview_ticket(submission("train-00", "train-01"), tenant=TENANT)

    assert (preview.sample_count, preview.already_forgotten) == (2, 0)
    assert preview.due_at == due_time(NOW, Regime.GDPR)
    assert "no statistical claim" in preview.claim
    require_nothing_stored(world)


def test_a_preview_counts_what_is_forgotten_already(accepting: World) -> None:
    accepting.submit("train-00", "train-01")
    accepting.drive()

    preview = accepting.service.intake.preview_ticket(submission("train-01", "train-02"), tenant=TENANT)
    assert (preview.sample_count, preview.already_forgotten) == (2, 1)


def test_a_preview_refuses_what_a_submission_would_refuse(world: World) -> None:
    for ids, error in (
        ((), EmptyForgetSetError),
        (("nobody",), UnknownSampleIdsError),
        (("train-00", "train-00"), DuplicateSampleIdsError),
        (TRAIN, ForgetSetTooLargeError),
    ):
        with pytest.raises(error):
            world.service.intake.preview_ticket(submission(*ids), tenant=TENANT)


# Cancelling


def cancel(world: World, ticket: Ticket) -> Ticket:
    return world.service.intake.cancel_ticket(ticket.ticket_id, tenant=TENANT, actor="bob")


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_ticket_is_cancelled_before_its_run_starts(world: World, scheduled: bool) -> None:
    ticket = world.submit("train-07")
    if scheduled:
        world.service.workflow.schedule_tickets()

    cancelled = cancel(world, ticket)
    assert (cancelled.state, cancelled.closed_at) == (TicketState.CANCELLED, world.clock.now())
    assert (world.ledger()[-1].actor, world.ledger()[-1].payload["event"]) == ("bob", "cancel")
    world.drive()
    assert world.orders == []


def test_cancelling_twice_is_cancelling_once(world: World) -> None:
    ticket = world.submit("train-07")

    assert cancel(world, ticket) == cancel(world, ticket)
    assert [entry.payload.get("event") for entry in world.ledger()].count("cancel") == 1


def test_a_ticket_whose_run_has_started_is_not_cancelled(world: World) -> None:
    ticket = world.submit("train-07")
    world.service.reconciler.round()

    with pytest.raises(TicketNotCancellableError, match="processing"):
        cancel(world, ticket)
    world.wait_for_jobs()


def test_a_closed_ticket_is_not_cancelled(accepting: World) -> None:
    ticket = accepting.submit("train-07")
    accepting.drive()

    with pytest.raises(TicketNotCancellableError, match="succeeded"):
        cancel(accepting, ticket)


def test_a_ticket_whose_run_gave_up_is_cancelled() -> None:
    world = plain_world(fails(FailureKind.INPUT))
    world.register()
    ticket = world.submit("train-07")
    world.drive()

    assert cancel(world, ticket).state is TicketState.CANCELLED


# Tenants


def test_another_tenant_sees_nothing(world: World) -> None:
    ticket = world.submit("train-07")
    world.drive()
    run_id = world.run(ticket).run_id
    intake, other = world.service.intake, "other"

    with pytest.raises(UnknownTicketError):
        intake.get_ticket(ticket.ticket_id, tenant=other)
    with pytest.raises(UnknownTicketError):
        intake.cancel_ticket(ticket.ticket_id, tenant=other, actor="eve")
    with pytest.raises(UnknownLineageError):
        intake.get_model(LINEAGE, tenant=other)
    with pytest.raises(UnknownLineageError):
        intake.list_releases(LINEAGE, tenant=other)
    with pytest.raises(UnknownLineageError):
        intake.submit_ticket(submission("train-01", request_id="new"), tenant=other, actor="eve")
    with pytest.raises(UnknownLineageError):
        intake.preview_ticket(submission("train-01"), tenant=other)
    with pytest.raises(UnknownRunError):
        intake.get_run(run_id, tenant=other)
    with pytest.raises(UnknownRunError):
        intake.get_report(run_id, tenant=other, suffix="json")
    assert list(intake.list_tickets(TicketQuery(tenant=other))) == []


def test_what_another_tenant_owns_is_told_as_what_does_not_exist(world: World) -> None:
    ticket = world.submit("train-07")
    intake = world.service.intake

    answers = []
    for ticket_id in (ticket.ticket_id, "tkt-never-was"):
        with pytest.raises(UnknownTicketError) as refused:
            intake.get_ticket(ticket_id, tenant="other")
        answers.append(refused.value.message)
    assert answers[0] == answers[1]


def test_request_ids_of_tenants_do_not_meet(world: World) -> None:
    world.submit("train-07", request_id="mine")

    with pytest.raises(UnknownLineageError):
        world.service.intake.submit_ticket(submission("train-07", request_id="mine"), tenant="other", actor="eve")


# Runs, reports, progress


def test_before_anything_was_audited_there_is_no_report(world: World) -> None:
    ticket = world.submit("train-07")
    world.service.reconciler.round()
    world.wait_for_jobs()

    with pytest.raises(UnknownReportError):
        world.service.intake.get_report(world.run(ticket).run_id, tenant=TENANT, suffix="json")


def test_while_a_run_climbs_its_newest_audited_report_is_shown() -> None:
    world = plain_world(reject, fails(FailureKind.TRANSIENT))
    world.register()
    ticket = world.submit("train-07")
    while not (world.ticket(ticket).run_id and world.run(ticket).attempts):
        world.round()
    run = world.run(ticket)
    intake = world.service.intake

    json_bytes = intake.get_report(run.run_id, tenant=TENANT, suffix="json")
    assert json_bytes == world.objects.read(f"{attempt_prefix(run.run_id, 1)}/report.json")
    assert b"REJECT" in intake.get_report(run.run_id, tenant=TENANT, suffix="html")


def test_a_published_report_is_shown_as_it_was_published(accepting: World) -> None:
    ticket = accepting.submit("train-07")
    accepting.drive()
    run_id, intake = accepting.run(ticket).run_id, accepting.service.intake

    suffixes: tuple[Literal["json", "html"], ...] = ("json", "html")
    for suffix in suffixes:
        shown = intake.get_report(run_id, tenant=TENANT, suffix=suffix)
        assert shown == accepting.objects.read(f"reports/{LINEAGE}/{run_id}/report.{suffix}")
    assert intake.report_location(run_id, suffix="html").endswith(f"{run_id}/report.html")


def test_progress_is_that_of_the_active_attempt(world: World) -> None:
    ticket = world.submit("train-07")
    world.service.reconciler.round()
    world.wait_for_jobs()
    run = world.run(ticket)
    assert run.phase is RunPhase.UNLEARNING

    snapshot = ProgressSnapshot(phase="curve", epoch=2, epochs=10)
    world.objects.overwrite(f"{attempt_prefix(run.run_id, run.epoch)}/progress.json", snapshot.to_bytes())
    assert world.service.intake.progress(run.run_id) == snapshot
    assert world.service.intake.progress("run-never-was") is None


@pytest.mark.parametrize("written", [None, b"", b"{}", b"\xff", b'{"phase": "curve", "news": 1}'])
def test_progress_that_cannot_be_read_is_unknown(world: World, written: bytes | None) -> None:
    ticket = world.submit("train-07")
    world.service.reconciler.round()
    world.wait_for_jobs()
    run = world.run(ticket)
    key = f"{attempt_prefix(run.run_id, run.epoch)}/progress.json"
    world.objects.delete(key)
    if written is not None:
        world.objects.overwrite(key, written)

    assert world.service.intake.progress(run.run_id) is None


def test_a_release_is_found_where_its_weights_lie(world: World) -> None:
    (release,) = world.service.intake.list_releases(LINEAGE, tenant=TENANT)

    assert world.service.intake.release_location(release).endswith("v000001/model.safetensors")
