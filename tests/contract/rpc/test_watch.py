"""WatchTicket: what is sent, when it ends, and who may watch."""

import threading
import time
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed

from service.domain.run import ProgressSnapshot, RunPhase
from service.domain.ticket import TicketEvent
from service.errors import StoreUnavailableError
from service.pb.unlearning.v1 import run_pb2, ticket_pb2
from service.pb.unlearning.v1.deletion_service_pb2 import WatchTicketRequest
from tests.contract.rpc.answers import read_refusal, refusal_of
from tests.contract.rpc.conftest import Api, submission
from tests.contract.rpc.records import a_run

TIMEOUT_SECONDS = 10.0
"""Far above the polling interval, far below the suite's patience."""


@pytest.fixture
def ticket_id(api: Api) -> str:
    ticket = api.application.tickets[api.deletion.SubmitTicket(submission()).ticket.ticket_id]
    return api.application.change(ticket, TicketEvent.SCHEDULE).ticket_id


def _watch(api: Api, ticket_id: str, **flags: bool) -> Any:
    return api.deletion.WatchTicket(WatchTicketRequest(ticket_id=ticket_id, **flags), timeout=TIMEOUT_SECONDS)


def _change(api: Api, ticket_id: str, *events: TicketEvent) -> None:
    api.application.change(api.application.tickets[ticket_id], *events)


def test_changes_are_sent_until_the_ticket_is_closed(api: Api, ticket_id: str) -> None:
    watch = _watch(api, ticket_id)
    states = [next(watch).ticket.state]
    _change(api, ticket_id, TicketEvent.START)
    states.append(next(watch).ticket.state)
    _change(api, ticket_id, TicketEvent.PUBLISH)
    states.append(next(watch).ticket.state)
    _change(api, ticket_id, TicketEvent.TAKE_EFFECT)
    states += [message.ticket.state for message in watch]

    assert states == [
        ticket_pb2.TICKET_STATE_SCHEDULED,
        ticket_pb2.TICKET_STATE_PROCESSING,
        ticket_pb2.TICKET_STATE_PUBLISHED,
        ticket_pb2.TICKET_STATE_SUCCEEDED,
    ]
    assert watch.code() is grpc.StatusCode.OK


def test_nothing_is_sent_while_nothing_changes(api: Api, ticket_id: str) -> None:
    watch = _watch(api, ticket_id)
    next(watch)
    time.sleep(0.7)  # nearly three looks at the store
    _change(api, ticket_id, TicketEvent.CANCEL)

    assert [message.ticket.state for message in watch] == [ticket_pb2.TICKET_STATE_CANCELLED]


def test_a_watch_ends_by_itself_when_the_ticket_needs_attention(api: Api, ticket_id: str) -> None:
    _change(api, ticket_id, TicketEvent.ESCALATE)

    assert [message.ticket.state for message in _watch(api, ticket_id)] == [ticket_pb2.TICKET_STATE_NEEDS_ATTENTION]


def test_a_watch_can_go_on_while_the_ticket_needs_attention(api: Api, ticket_id: str) -> None:
    _change(api, ticket_id, TicketEvent.ESCALATE)
    watch = _watch(api, ticket_id, until_attention=False)
    next(watch)
    _change(api, ticket_id, TicketEvent.WAIVE)

    assert [message.ticket.state for message in watch] == [ticket_pb2.TICKET_STATE_SUCCEEDED]


def test_the_progress_of_the_run_is_sent(api: Api, ticket_id: str) -> None:
    run = a_run("run-7", ticket_ids=(ticket_id,))
    api.application.runs["run-7"] = run
    ticket = replace(api.application.tickets[ticket_id], run_id="run-7")
    api.application.change(ticket, TicketEvent.START)
    watch = _watch(api, ticket_id)
    before = next(watch).progress
    api.application.snapshots["run-7"] = ProgressSnapshot(
        phase="curve", epoch=3, epochs=10, step=40, steps=100, seconds=12.5, seconds_left=30.0
    )
    after = next(watch).progress
    api.application.runs["run-7"] = replace(run, phase=RunPhase.COMMITTED)
    _change(api, ticket_id, TicketEvent.PUBLISH, TicketEvent.TAKE_EFFECT)
    last = list(watch)[-1]

    assert (before.run_id, before.rung_index, before.attempt, before.activity) == ("run-7", 1, 2, "")
    assert before.rung_kind == run_pb2.RUNG_KIND_ANOTHER_POINT
    assert before.phase == run_pb2.RUN_PHASE_UNLEARNING
    assert (after.activity, after.epoch, after.epoch_count, after.step, after.step_count) == ("curve", 3, 10, 40, 100)
    assert (after.elapsed.ToMilliseconds(), after.remaining.seconds) == (12_500, 30)
    assert not last.HasField("progress")


def test_watching_an_unknown_ticket_is_not_found(api: Api) -> None:
    refusal = refusal_of(lambda: list(_watch(api, "tkt-none")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TICKET")


def test_one_watcher_too_many_is_refused_at_once_and_told_when_to_retry(api: Api, ticket_id: str) -> None:
    watches = [_watch(api, ticket_id) for _ in range(2)]
    for watch in watches:
        next(watch)
    refusal = refusal_of(lambda: list(_watch(api, ticket_id)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_OVERLOADED")
    (retry,) = refusal.all_of(error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() > 0


def test_a_watcher_who_leaves_gives_the_place_back(api: Api, ticket_id: str) -> None:
    watches = [_watch(api, ticket_id) for _ in range(2)]
    for watch in watches:
        next(watch)
    watches[0].cancel()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while len(api.server.watchers._ends) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    third = _watch(api, ticket_id)

    assert next(third).ticket.ticket_id == ticket_id


def test_watchers_do_not_keep_other_calls_waiting(api: Api, ticket_id: str) -> None:
    watches = [_watch(api, ticket_id) for _ in range(2)]
    for watch in watches:
        next(watch)

    assert api.deletion.SubmitTicket(submission("request-2"), timeout=TIMEOUT_SECONDS).ticket.ticket_id


def test_a_draining_server_sends_watchers_away_with_a_word(api: Api, ticket_id: str) -> None:
    watch = _watch(api, ticket_id)
    next(watch)
    drain = threading.Thread(target=api.server.drain)
    began = time.monotonic()
    drain.start()
    with pytest.raises(grpc.RpcError) as raised:
        next(watch)
    drain.join()
    refusal = read_refusal(raised.value)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    assert refusal.all_of(error_details_pb2.RetryInfo)
    assert time.monotonic() - began < 2.0, "the watcher used up the grace"


def test_a_watch_ends_with_the_error_of_a_store_that_went_away(api: Api, ticket_id: str) -> None:
    watch = _watch(api, ticket_id)
    next(watch)
    api.application.fault = StoreUnavailableError("the database is away")
    with pytest.raises(grpc.RpcError) as raised:
        next(watch)

    assert read_refusal(raised.value).reason == "STORE_UNAVAILABLE"
