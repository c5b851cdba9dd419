"""What every store promises: the one in memory and the one on SQLite."""

import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.report import Verdict
from service.adapters.memory_store import MemoryStore
from service.adapters.sql_store import SqlStore, connect_store
from service.adapters.tables import METADATA
from service.domain.canary import Canary
from service.domain.drift import Drift
from service.domain.hold import HoldState, release
from service.domain.ledger import LedgerEntry, LedgerKind, LedgerQuery, verify_chain
from service.domain.model import Model
from service.domain.purge import ReleasePurge
from service.domain.run import PHASE_ORDER, RunPhase, UnlearningRun, enter
from service.domain.run_query import RunQuery
from service.domain.ticket import TERMINAL_STATES, TRANSITIONS, Ticket, TicketState, advance
from service.domain.ticket_query import TicketQuery
from service.errors import (
    ActiveRunError,
    LedgerBrokenError,
    LineageExistsError,
    RequestIdReusedError,
    ServiceError,
    StaleVersionError,
    StoreUnavailableError,
)
from service.hold_port import HoldQuery
from service.ports import Change, Store
from service.store_totals import StoreTotals
from tests.records import (
    LINEAGE,
    NOW,
    TENANT,
    a_deployment,
    a_draft,
    a_hold,
    a_model,
    a_release,
    a_run,
    a_ticket,
    an_attempt,
    an_end,
)

WRITERS = 8
OPENERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: connect_store(f"sqlite:///{folder}/store.db"),
}


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def sql_store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = connect_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def saved(store: Store, ticket: Ticket, *sample_ids: str) -> Ticket:
    store.save(Change(tickets=(ticket,), sample_ids=((ticket.ticket_id, sample_ids),)))
    found = store.ticket(ticket.ticket_id)
    assert found is not None
    return found


def saved_run(store: Store, run: UnlearningRun) -> UnlearningRun:
    store.save(Change(runs=(run,)))
    found = store.run(run.run_id)
    assert found is not None
    return found


def saved_model(store: Store, model: Model) -> Model:
    store.save(Change(models=(model,)))
    found = store.model(model.lineage)
    assert found is not None
    return found


def observable(store: Store) -> dict[str, object]:
    """Return everything that the port shows."""
    tickets = store.tickets(TicketQuery(limit=1000))
    holds = store.holds(HoldQuery(limit=1000))
    lineages = [model.lineage for model in store.models()]
    ledger = list(store.ledger())
    return {
        "tickets": list(tickets),
        "open": list(store.open_tickets()),
        "ids": {ticket.ticket_id: tuple(store.sample_ids(ticket.ticket_id)) for ticket in tickets},
        "models": list(store.models()),
        "active": list(store.active_runs()),
        "runs": list(store.runs(RunQuery(limit=1000))),
        "releases": {lineage: list(store.releases(lineage)) for lineage in lineages},
        "forgotten": {lineage: store.forgotten_rows(lineage) for lineage in lineages},
        "canaries": {lineage: list(store.canaries(lineage)) for lineage in lineages},
        "holds": list(holds),
        "held": {hold.hold_id: tuple(store.held_samples(hold.hold_id)) for hold in holds},
        "active holds": {hold.lineage: list(store.active_holds(hold.lineage)) for hold in holds},
        "held counts": {ticket.lineage: store.held_counts(ticket.lineage) for ticket in tickets},
        "waiting counts": store.waiting_counts([hold.hold_id for hold in holds]),
        "deployments": {lineage: list(store.deployments(lineage)) for lineage in lineages},
        "purges": {lineage: list(store.purges(lineage)) for lineage in lineages},
        "ledger": ledger,
        "totals": store.totals(),
    }


# Records


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.ticket("tkt-1") is None
    assert store.ticket_by_request(TENANT, "request") is None
    assert store.model(LINEAGE) is None
    assert store.run("run-1") is None
    assert store.sample_ids("tkt-1") in [(), []]
    assert store.forgotten_rows(LINEAGE) == {}
    assert list(store.canaries(LINEAGE)) == []
    assert [*store.ledger(), *store.models(), *store.active_runs(), *store.releases(LINEAGE)] == []


def test_a_ticket_reads_back_as_it_was_saved_with_the_next_version(store: Store) -> None:
    ticket = a_ticket()

    assert saved(store, ticket) == replace(ticket, version=1)
    assert store.ticket_by_request(ticket.tenant, ticket.request_id) == replace(ticket, version=1)


def test_a_run_reads_back_as_it_was_saved_with_the_next_version(store: Store) -> None:
    run = replace(
        a_run(),
        attempts=(an_attempt(1), an_attempt(2, verdict=Verdict.ACCEPT_POWERED)),
        verdict=Verdict.ACCEPT_POWERED,
        reason="π ≠ 3",
        retry_at=NOW + timedelta(microseconds=1),
        pathway_epoch=1,
    )

    assert saved_run(store, run) == replace(run, version=1)
    assert saved_run(store, replace(run, version=1)).spec.run_id == run.run_id


def test_a_lineage_and_its_releases_read_back_as_they_were_saved(store: Store) -> None:
    model, releases = a_model(), (a_release(1), a_release(2))

    assert saved_model(store, model) == replace(model, version=1)
    store.save(Change(releases=releases))
    assert list(store.releases(LINEAGE)) == [a_release(2), a_release(1)]


def test_sample_ids_read_back_in_the_order_of_the_request(store: Store) -> None:
    sample_ids = ("z", "a", "M", "\u00e4", "\u65e5\u672c", " ", "0", "'; DROP TABLE tickets; --")
    saved(store, a_ticket(), *sample_ids)

    assert tuple(store.sample_ids("tkt-0001")) == sample_ids


def test_nothing_to_remember_is_saved_too(store: Store) -> None:
    store.save(Change(models=(a_model(),), releases=(a_release(),), forgotten=((LINEAGE, 1, ()),)))
    store.save(Change(tickets=(a_ticket(),), sample_ids=(("tkt-0001", ()),)))
    store.save(Change())

    assert store.forgotten_rows(LINEAGE) == {}
    assert list(store.sample_ids("tkt-0001")) == []


def test_forgotten_rows_are_kept_with_the_release_that_forgot_them(store: Store) -> None:
    store.save(Change(models=(a_model(), a_model("other")), releases=(a_release(1), a_release(2))))
    store.save(Change(forgotten=((LINEAGE, 1, (0, 7)), ("other", 3, (7,)))))
    store.save(Change(forgotten=((LINEAGE, 2, (2**40,)),)))

    assert store.forgotten_rows(LINEAGE) == {0: 1, 7: 1, 2**40: 2}
    assert store.forgotten_rows("other") == {7: 3}


def test_canaries_are_kept_by_row_with_the_run_that_took_them_last(store: Store) -> None:
    store.save(Change(models=(a_model(), a_model("other")), canaries=((LINEAGE, CANARIES), ("other", CANARIES[:1]))))
    store.save(Change(canaries_taken=((LINEAGE, "run-1", (8, 2**40)),)))
    store.save(Change(canaries_taken=((LINEAGE, "run-2", (3, 8)), ("other", "run-3", ()))))

    assert list(store.canaries(LINEAGE)) == [
        Canary(row=3, is_included=False, used_by_run="run-2"),
        Canary(row=5, is_included=True),
        Canary(row=8, is_included=True, used_by_run="run-2"),
        Canary(row=2**40, is_included=True, used_by_run="run-1"),
    ]
    assert list(store.canaries("other")) == [Canary(row=8, is_included=True)]


def test_thousands_of_canaries_are_taken_at_once(store: Store) -> None:
    many = tuple(Canary(row=row, is_included=row % 2 == 0) for row in range(3000))
    store.save(Change(models=(a_model(),), canaries=((LINEAGE, many),)))
    store.save(Change(canaries_taken=((LINEAGE, "run-1", tuple(range(2999))),)))

    assert [canary.row for canary in store.canaries(LINEAGE) if canary.used_by_run is None] == [2999]


def test_the_totals_tell_which_canaries_are_not_forgotten_yet(store: Store) -> None:
    unused, kept_out = a_model("unused"), a_model("out")
    store.save(
        Change(
            models=(a_model(), unused, kept_out, a_model("none")),
            canaries=((LINEAGE, CANARIES), ("unused", CANARIES), ("out", CANARIES[1:2])),
            releases=(a_release(2),),
        )
    )
    store.save(Change(canaries_taken=((LINEAGE, "run-1", (5, 8)),)))
    assert store.totals().canaries_left == ((LINEAGE, 3), ("unused", 3)), "a run may fail yet"

    store.save(Change(forgotten=((LINEAGE, 2, (5, 8, 7)),)))
    assert store.totals().canaries_left == ((LINEAGE, 1), ("unused", 3))
    store.save(Change(forgotten=((LINEAGE, 2, (2**40,)),)))
    assert store.totals().canaries_left == ((LINEAGE, 0), ("unused", 3)), "none is left, and that is told"


def test_deployments_are_kept_in_the_order_in_which_they_were_acknowledged(store: Store) -> None:
    later = replace(a_deployment("a"), acknowledged_at=NOW + timedelta(microseconds=1))
    other, of_another = a_deployment("b"), replace(a_deployment("a", lineage="other"), tenant="other")
    store.save(Change(deployments=(later, of_another)))
    store.save(Change(deployments=(other,)))

    assert list(store.deployments(LINEAGE)) == [other, later]
    assert list(store.deployments("other")) == [of_another]


def test_a_purge_is_planned_once_and_carried_out_once(store: Store) -> None:
    second = replace(PLANNED, number=2, purge_at=NOW - timedelta(days=1))
    store.save(Change(purges=(second, PLANNED)))
    assert list(store.purges(LINEAGE)) == [PLANNED, second]
    assert store.totals().purges_open == (second.purge_at, PLANNED.purge_at)

    store.save(Change(purges=(PURGED,)))
    assert list(store.purges(LINEAGE)) == [PURGED, second]
    assert store.totals().purges_open == (second.purge_at,)
    for again in (PLANNED, PURGED):
        with _unchanged(store), pytest.raises(StaleVersionError):
            store.save(Change(purges=(again,)))


def test_the_totals_tell_how_far_each_lineage_is_from_its_last_full_training(store: Store) -> None:
    retrained = replace(a_release(3), is_retrained=True)
    releases = (a_release(1), a_release(2), retrained, a_release(4), a_release(1, lineage="other"))
    store.save(Change(models=(a_model(), a_model("other")), releases=releases))
    store.save(Change(forgotten=((LINEAGE, 2, (1, 2)), (LINEAGE, 3, (3,)), (LINEAGE, 4, (4, 5, 6)))))

    rows = a_model().manifest.train_rows
    assert store.totals().drift == (
        (LINEAGE, Drift(runs=1, samples=3, train_rows=rows)),
        ("other", Drift(runs=0, samples=0, train_rows=rows)),
    )


# All or nothing


@contextmanager
def _unchanged(store: Store) -> Iterator[None]:
    before = observable(store)
    yield
    assert observable(store) == before


CANARIES = (
    Canary(row=8, is_included=True),
    Canary(row=3, is_included=False),
    Canary(row=2**40, is_included=True),
    Canary(row=5, is_included=True),
)
PLANNED = ReleasePurge(lineage=LINEAGE, number=1, purge_at=NOW)
PURGED = replace(PLANNED, purged_at=NOW + timedelta(days=1))
WHOLE = Change(
    tickets=(a_ticket(2),),
    sample_ids=(("tkt-0002", ("a", "b")),),
    runs=(a_run(1, lineage="other"),),
    models=(a_model("other"),),
    releases=(a_release(1, lineage="other"),),
    forgotten=(("other", 1, (1, 2)),),
    canaries=(("other", CANARIES),),
    canaries_taken=(("other", "run-1", (3, 8)),),
    holds=(a_hold(2),),
    held_samples=(("hld-0002", ("b", "c")),),
    deployments=(a_deployment("deploy-2", lineage="other"),),
    purges=(ReleasePurge(lineage="other", number=1, purge_at=NOW),),
    entries=(a_draft(1), a_draft(2)),
)
FAILING: dict[str, tuple[Change, type[ServiceError]]] = {
    "stale ticket": (replace(WHOLE, tickets=(a_ticket(2), replace(a_ticket(1), version=7))), StaleVersionError),
    "ticket that never was": (replace(WHOLE, tickets=(replace(a_ticket(3), version=1),)), StaleVersionError),
    "request id": (replace(WHOLE, tickets=(replace(a_ticket(2), request_id="request-1"),)), RequestIdReusedError),
    "stale run": (replace(WHOLE, runs=(replace(a_run(1), version=7),)), StaleVersionError),
    "second active run": (replace(WHOLE, runs=(a_run(2),)), ActiveRunError),
    "the same run": (replace(WHOLE, runs=(a_run(1),)), ActiveRunError),
    "lineage": (replace(WHOLE, models=(a_model(),)), LineageExistsError),
    "stale lineage": (replace(WHOLE, models=(a_model("other"), replace(a_model(), version=2))), StaleVersionError),
    "release": (replace(WHOLE, releases=(a_release(1),)), StaleVersionError),
    "canaries": (replace(WHOLE, canaries=(("other", CANARIES), (LINEAGE, CANARIES[2:]))), StaleVersionError),
    "canary that never was": (replace(WHOLE, canaries_taken=((LINEAGE, "run-1", (5, 8)),)), StaleVersionError),
    "canary of another lineage": (replace(WHOLE, canaries_taken=(("other", "run-1", (3, 9)),)), StaleVersionError),
    "stale hold": (replace(WHOLE, holds=(a_hold(2), replace(a_hold(1), version=7))), StaleVersionError),
    "hold that never was": (replace(WHOLE, holds=(replace(a_hold(3), version=1),)), StaleVersionError),
    "request id of a hold": (replace(WHOLE, holds=(replace(a_hold(2), request_id="hold-1"),)), RequestIdReusedError),
    "deployment": (replace(WHOLE, deployments=(a_deployment("deploy-1", lineage="other"),)), RequestIdReusedError),
    "purge planned twice": (replace(WHOLE, purges=(*WHOLE.purges, PLANNED)), StaleVersionError),
    "purge that was not planned": (replace(WHOLE, purges=(replace(PURGED, number=7),)), StaleVersionError),
    "forgotten": (replace(WHOLE, forgotten=(("other", 1, (3,)), (LINEAGE, 2, (4, 5)))), StaleVersionError),
}


@pytest.mark.parametrize(("change", "error"), FAILING.values(), ids=FAILING)
def test_a_change_of_which_one_part_fails_leaves_nothing(
    store: Store, change: Change, error: type[ServiceError]
) -> None:
    store.save(
        Change(
            tickets=(a_ticket(1),),
            holds=(a_hold(1),),
            runs=(a_run(1),),
            models=(a_model(),),
            releases=(a_release(1),),
            deployments=(a_deployment("deploy-1"),),
            purges=(PLANNED,),
            forgotten=((LINEAGE, 1, (5, 6)),),
            canaries=((LINEAGE, CANARIES[3:]),),
            entries=(a_draft(9),),
        )
    )

    with _unchanged(store), pytest.raises(error):
        store.save(change)
    store.save(WHOLE)


# Compare and swap


def test_the_version_that_was_read_can_be_replaced_once(store: Store) -> None:
    first = saved(store, a_ticket())
    second = saved(store, replace(first, state=TicketState.SCHEDULED))

    assert second == replace(first, state=TicketState.SCHEDULED, version=2)
    with pytest.raises(StaleVersionError):
        store.save(Change(tickets=(replace(first, state=TicketState.CANCELLED),)))
    assert store.ticket(first.ticket_id) == second


@pytest.mark.parametrize("kind", ["ticket", "run", "model"])
def test_of_writers_at_once_one_replaces(store: Store, kind: str) -> None:
    ticket, run, model = saved(store, a_ticket()), saved_run(store, a_run()), saved_model(store, a_model())

    def write(number: int) -> bool:
        changes = {
            "ticket": Change(tickets=(replace(ticket, run_id=f"run-{number}"),), entries=(a_draft(number),)),
            "run": Change(runs=(replace(run, reason=f"{number}"),), entries=(a_draft(number),)),
            "model": Change(models=(replace(model, runs_started=number + 1),), entries=(a_draft(number),)),
        }
        try:
            store.save(changes[kind])
        except StaleVersionError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(WRITERS))) == 1
    assert len(list(store.ledger())) == 1


def test_a_request_id_belongs_to_one_ticket_of_its_tenant(store: Store) -> None:
    saved(store, a_ticket(1))

    with pytest.raises(RequestIdReusedError):
        store.save(Change(tickets=(replace(a_ticket(2), request_id="request-1"),)))
    saved(store, replace(a_ticket(3, tenant="other"), request_id="request-1"))
    found = store.ticket_by_request("other", "request-1")
    assert found is not None
    assert found.ticket_id == "tkt-0003"


def test_of_requests_at_once_with_one_id_one_is_stored(store: Store) -> None:
    def submit(number: int) -> bool:
        ticket = replace(a_ticket(number), request_id="the same")
        try:
            store.save(Change(tickets=(ticket,), sample_ids=((ticket.ticket_id, ("a",)),), entries=(a_draft(number),)))
        except RequestIdReusedError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(submit, range(WRITERS))) == 1
    assert len(store.tickets(TicketQuery())) == len(list(store.ledger())) == 1


def test_a_lineage_has_one_active_run(store: Store) -> None:
    first = saved_run(store, a_run(1))

    with pytest.raises(ActiveRunError):
        store.save(Change(runs=(a_run(2),)))
    saved_run(store, a_run(1, lineage="other"))
    saved_run(store, enter(first, RunPhase.FAILED, NOW))
    second = saved_run(store, a_run(2))
    assert second.run_id in {run.run_id for run in store.active_runs()}


def test_of_runs_opened_at_once_one_is_stored(store: Store) -> None:
    def open_run(sequence: int) -> bool:
        try:
            store.save(Change(runs=(a_run(sequence + 1),), entries=(a_draft(sequence),)))
        except ActiveRunError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(open_run, range(WRITERS))) == 1
    assert len(store.active_runs()) == len(list(store.ledger())) == 1


# Lists


def test_active_runs_are_those_that_are_not_closed(store: Store) -> None:
    for sequence, phase in enumerate(RunPhase, start=1):
        saved_run(store, replace(a_run(sequence, lineage=f"lineage-{sequence}"), phase=phase))

    assert {run.phase for run in store.active_runs()} == {phase for phase in RunPhase if PHASE_ORDER[phase]}


def test_runs_are_listed_newest_first_by_tenant_lineage_and_phase_page_by_page(store: Store) -> None:
    for number in range(1, 6):
        run = replace(a_run(number, lineage=f"lineage-{number % 2}"), created_at=NOW + timedelta(microseconds=number))
        store.save(Change(runs=(replace(run, phase=RunPhase.FAILED, closed_at=NOW, tenant=f"t{number % 3}"),)))

    def found(query: RunQuery) -> list[int]:
        return [run.spec.sequence for run in store.runs(query)]

    assert found(RunQuery()) == [5, 4, 3, 2, 1]
    assert found(RunQuery(lineage="lineage-1", limit=2)) == [5, 3]
    assert found(RunQuery(tenant="t1")) == [4, 1]
    assert found(RunQuery(phases=frozenset({RunPhase.COMMITTED}))) == []
    assert found(RunQuery(phases=frozenset({RunPhase.FAILED, RunPhase.PENDING}), limit=1)) == [5]
    third = store.runs(RunQuery(limit=3))[-1]
    assert found(RunQuery(after=(third.created_at, third.run_id))) == [2, 1]


def test_open_tickets_are_those_that_are_not_closed_oldest_first(store: Store) -> None:
    for number, state in reversed(list(enumerate(TicketState, start=1))):
        saved(store, replace(a_ticket(number), state=state))

    found = store.open_tickets()
    assert [ticket.ticket_id for ticket in found] == sorted(ticket.ticket_id for ticket in found)
    assert {ticket.state for ticket in found} == set(TicketState) - TERMINAL_STATES


def test_tickets_are_listed_newest_first_by_tenant_lineage_and_state(store: Store) -> None:
    saved(store, a_ticket(1))
    saved(store, a_ticket(2, tenant="other"))
    saved(store, a_ticket(3, lineage="other"))
    saved(store, replace(a_ticket(4), state=TicketState.SUCCEEDED))

    def listed(query: TicketQuery) -> list[str]:
        return [ticket.ticket_id[-1] for ticket in store.tickets(query)]

    assert listed(TicketQuery()) == ["4", "3", "2", "1"]
    assert listed(TicketQuery(tenant=TENANT)) == ["4", "3", "1"]
    assert listed(TicketQuery(tenant=TENANT, lineage=LINEAGE)) == ["4", "1"]
    assert listed(TicketQuery(states=frozenset({TicketState.ACCEPTED, TicketState.REJECTED}))) == ["3", "2", "1"]
    assert listed(TicketQuery(limit=2)) == ["4", "3"]


def test_pages_miss_nothing_and_repeat_nothing_while_tickets_come_in(store: Store) -> None:
    # Tickets of one and the same instant are told apart by their ids.
    for number in range(10, 17):
        saved(store, replace(a_ticket(number), received_at=NOW + timedelta(seconds=number // 3)))
    there_before = {ticket.ticket_id for ticket in store.tickets(TicketQuery())}

    seen: list[str] = []
    query, newcomer = TicketQuery(limit=2), 100
    while page := store.tickets(query):
        seen += [ticket.ticket_id for ticket in page]
        query = replace(query, after=(page[-1].received_at, page[-1].ticket_id))
        saved(store, a_ticket(newcomer := newcomer + 1))

    assert len(seen) == len(set(seen))
    assert set(seen) == there_before


# Ledger


def test_entries_are_chained_in_the_order_of_their_changes(store: Store) -> None:
    store.save(Change(entries=(a_draft(1), a_draft(2))))
    store.save(Change(entries=(a_draft(3),)))

    entries = list(store.ledger())
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert [entry.subject for entry in entries] == ["tkt-0001", "tkt-0002", "tkt-0003"]
    assert verify_chain(entries) == 3


def test_an_entry_reads_back_exactly(store: Store) -> None:
    draft = replace(
        a_draft(), payload={"pi": 3.141592653589793, "tiny": 5e-324, "minus": -1, "\u00e4": "\u2713", "none": None}
    )
    store.save(Change(entries=(draft,)))

    (entry,) = store.ledger()
    assert (entry.at, entry.actor, entry.kind, entry.subject) == (draft.at, draft.actor, draft.kind, draft.subject)
    assert dict(entry.payload) == draft.payload


def test_a_failed_change_leaves_no_gap_in_the_chain(store: Store) -> None:
    store.save(Change(tickets=(a_ticket(),), entries=(a_draft(1),)))
    with pytest.raises(RequestIdReusedError):
        store.save(Change(tickets=(replace(a_ticket(), ticket_id="tkt-other"),), entries=(a_draft(2),)))
    store.save(Change(entries=(a_draft(3),)))

    entries = list(store.ledger())
    assert [entry.sequence for entry in entries] == [1, 2]
    assert verify_chain(entries) == 2


def test_the_ledger_is_read_from_anywhere_in_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.sql_store._LEDGER_PAGE", 3)
    for number in range(8):
        store.save(Change(entries=(a_draft(number),)))

    for after in range(10):
        assert [entry.sequence for entry in store.ledger(after)] == list(range(after + 1, 9))


def test_a_page_of_the_ledger_is_the_obvious_part_of_it(store: Store) -> None:
    kinds = (LedgerKind.TICKET_CHANGED, LedgerKind.RELEASED)
    drafts = [replace(a_draft(number % 3), kind=kinds[number % 2]) for number in range(12)]
    store.save(Change(entries=tuple(drafts)))
    whole = list(store.ledger())

    for subject in (None, whole[0].subject, "nobody"):
        for chosen in (frozenset[LedgerKind](), frozenset({LedgerKind.RELEASED}), frozenset(kinds)):
            for after in (0, 4, 12, 99):
                expected = [
                    entry
                    for entry in whole
                    if entry.sequence > after
                    and subject in {None, entry.subject}
                    and (not chosen or entry.kind in chosen)
                ]
                query = LedgerQuery(after=after, subject=subject, kinds=chosen, limit=3)
                assert list(store.ledger_page(query)) == expected[:3]


def test_a_page_of_the_ledger_reads_no_more_rows_than_it_returns(sql_store: SqlStore) -> None:
    sql_store.save(Change(entries=tuple(a_draft(number) for number in range(2000))))
    for query in (LedgerQuery(after=1000, limit=5), LedgerQuery(after=7, subject="tkt-0500", limit=5)):
        plan = _plan(sql_store, query)
        assert all("SCAN" not in step and "TEMP B-TREE" not in step for step in plan), plan


def _plan(store: SqlStore, query: LedgerQuery) -> list[str]:
    """Return how SQLite reads a page."""
    statements: list[tuple[str, object]] = []

    @sa.event.listens_for(store._engine, "before_cursor_execute")
    def _record(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    store.ledger_page(query)
    sa.event.remove(store._engine, "before_cursor_execute", _record)
    (read,) = [(text, values) for text, values in statements if text.startswith("SELECT")]
    with store._engine.connect() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {read[0]}", read[1])]  # type: ignore[arg-type]


def test_appends_at_once_leave_one_unbroken_chain(store: Store) -> None:
    each = 12
    barrier = threading.Barrier(WRITERS)

    def append(writer: int) -> None:
        barrier.wait()
        for number in range(each):
            store.save(Change(entries=(a_draft(1000 * writer + number), a_draft(1000 * writer + number + 500))))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(append, range(WRITERS)))

    entries = list(store.ledger())
    assert verify_chain(entries) == 2 * each * WRITERS
    assert len({entry.subject for entry in entries}) == 2 * each * WRITERS
    _require_pairs_together(entries)


def _require_pairs_together(entries: list[LedgerEntry]) -> None:
    for first, second in zip(entries[::2], entries[1::2], strict=True):
        assert int(second.subject[4:]) == int(first.subject[4:]) + 500, "two changes are mixed"


def test_readers_beside_a_writer_see_whole_changes(store: Store) -> None:
    saved_model(store, a_model())
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(2, 30):
                release, forgotten = a_release(number), ((LINEAGE, number, (2 * number, 2 * number + 1)),)
                store.save(Change(releases=(release,), forgotten=forgotten))
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set():
            assert len(store.forgotten_rows(LINEAGE)) % 2 == 0
        writing.result()


# Totals


def test_totals_of_nothing_are_empty(store: Store) -> None:
    assert store.totals() == StoreTotals(
        tickets=(), submitted=(), closed=(), runs=(), oldest_open=None, open_due=(),
        completion_seconds=(), last_success=(), verdicts=(), forgotten=(),
    )  # fmt: skip


def test_totals_count_what_is_there(store: Store) -> None:
    first, second, third, fourth = (saved(store, a_ticket(number)) for number in (1, 2, 3, 4))
    cancelled = replace(second, state=TicketState.CANCELLED, closed_at=second.received_at + timedelta(seconds=9))
    served = replace(fourth, state=TicketState.SUCCEEDED, closed_at=fourth.received_at + timedelta(seconds=1.5))
    store.save(Change(tickets=(cancelled, served)))
    run = replace(a_run(), phase=RunPhase.COMMITTED, closed_at=NOW, attempts=(an_attempt(1), an_attempt(2)))
    saved_run(store, run)

    totals = store.totals()
    assert totals.tickets == (("accepted", 2), ("cancelled", 1), ("succeeded", 1))
    assert totals.submitted == (("gdpr", "inline", 4),)
    assert totals.closed == (("cancelled", "none", 1), ("succeeded", "none", 1))
    assert totals.runs == (("committed", 1),)
    assert totals.oldest_open == first.received_at
    assert totals.open_due == (first.due_at, third.due_at)
    assert totals.completion_seconds == (1.5,), "of those that succeeded"
    assert totals.last_success == ((LINEAGE, NOW),)
    assert totals.verdicts == (("REJECT", "NOTHING", 2),)


# Both stores agree


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    kinds = ["submit", "move", "stale", "open", "phase", "register", "release", "forget", "plant", "take", "note"]
    kinds += ["hold", "free", "purge", "deploy"]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 4), st.integers(0, 4)), max_size=40))


def change_of(store: Store, step: tuple[str, int, int], serial: int) -> Change:
    """Return the change that a step makes of what the store has now."""
    kind, one, two = step
    lineage = f"lineage-{one}"
    tickets, model = store.tickets(TicketQuery()), store.model(lineage)
    ticket = tickets[one % len(tickets)] if tickets else None
    note = (a_draft(serial),)
    match kind:
        case "submit":
            new = replace(a_ticket(serial, lineage=lineage), request_id=f"request-{two}")
            return Change(tickets=(new,), sample_ids=((new.ticket_id, (f"s{serial}", "s")),), entries=note)
        case "move" if ticket is not None:
            events = [event for state, event in TRANSITIONS if state is ticket.state]
            if not events:
                return Change()
            moved = advance(ticket, events[two % len(events)], NOW + timedelta(days=serial))
            return Change(tickets=(moved,), entries=note)
        case "stale" if ticket is not None:
            return Change(tickets=(replace(ticket, version=ticket.version + two - 1),), entries=note)
        case "open":
            return Change(runs=(a_run(serial + 1, lineage=lineage),), entries=note)
        case "phase" if active := [run for run in store.active_runs() if run.lineage == lineage]:
            phases = sorted(PHASE_ORDER[active[0].phase])
            attempted = replace(active[0], attempts=(*active[0].attempts, an_attempt(serial)))
            return Change(runs=(enter(attempted, phases[two % len(phases)], NOW + timedelta(hours=serial)),))
        case "register":
            return Change(models=(a_model(lineage),), releases=(a_release(1, lineage=lineage),), entries=note)
        case "release" if model is not None:
            return Change(models=(replace(model, current_release=two),), releases=(a_release(two, lineage=lineage),))
        case "forget" if model is not None:
            return Change(forgotten=((lineage, two, (two, two + 1, 10 * serial)),))
        case "plant" if model is not None:
            planted = tuple(Canary(row=row, is_included=row % 2 == 0) for row in (two, two + 1, 10 * serial))
            return Change(canaries=((lineage, planted),), entries=note)
        case "take" if model is not None:
            return Change(canaries_taken=((lineage, f"run-{serial}", (two, two + 1)),), entries=note)
        case "hold":
            placed = replace(a_hold(serial, lineage=lineage), request_id=f"request-{two}")
            return Change(holds=(placed,), held_samples=((placed.hold_id, (f"s{two}", "s")),), entries=note)
        case "free" if holds := store.holds(HoldQuery(states=frozenset({HoldState.ACTIVE}))):
            end = replace(an_end(), request_id=f"end-{two}")
            return Change(holds=(release(holds[one % len(holds)], end),), entries=note)
        case "purge":
            purge = ReleasePurge(lineage=lineage, number=two, purge_at=NOW)
            return Change(purges=(replace(purge, purged_at=NOW if serial % 2 else None),), entries=note)
        case "deploy":
            return Change(deployments=(a_deployment(f"deploy-{two}", lineage=lineage),), entries=note)
        case _:
            return Change(entries=note)


def outcome(store: Store, change: Change) -> type[Exception] | None:
    try:
        store.save(change)
    except ServiceError as error:
        return type(error)
    return None


@settings(max_examples=30, deadline=None)
@given(steps())
def test_the_same_changes_have_the_same_outcome_on_every_store(steps: list[tuple[str, int, int]]) -> None:
    memory, sqlite = MemoryStore(), connect_store("sqlite://")
    for serial, step in enumerate(steps):
        change = change_of(memory, step, serial)
        assert outcome(sqlite, change) == outcome(memory, change), step

    assert observable(sqlite) == observable(memory)
    assert verify_chain(sqlite.ledger()) == len(list(memory.ledger()))
    sqlite.close()


# The database


def test_everything_is_there_after_the_store_was_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    first = connect_store(url)
    first.save(WHOLE)
    before = observable(first)
    first.close()

    second = connect_store(url)
    assert observable(second) == before
    second.save(Change(entries=(a_draft(7),)))
    assert verify_chain(second.ledger()) == 3
    second.close()


def test_two_stores_on_one_file_see_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    one, other = connect_store(url), connect_store(url)
    ticket = saved(one, a_ticket())

    assert other.ticket(ticket.ticket_id) == ticket
    other.save(Change(tickets=(replace(ticket, state=TicketState.SCHEDULED),), entries=(a_draft(1),)))
    with pytest.raises(StaleVersionError):
        one.save(Change(tickets=(ticket,), entries=(a_draft(2),)))
    one.save(Change(entries=(a_draft(3),)))
    assert verify_chain(other.ledger()) == 2
    one.close()
    other.close()


def test_migrating_again_changes_nothing(sql_store: SqlStore) -> None:
    sql_store.save(WHOLE)
    with _unchanged(sql_store):
        sql_store.migrate()


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_database_of_an_earlier_revision_keeps_its_open_tickets_and_gets_what_is_new(
    tmp_path: Path, revision: str
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    current = connect_store(url)
    current.save(_known_to(revision))
    expected = observable(current)
    _downgrade(current._engine, revision)
    current.close()

    migrated = connect_store(url)
    assert observable(migrated) == expected
    (ticket,) = migrated.open_tickets()
    migrated.save(Change(tickets=(replace(ticket, state=TicketState.SCHEDULED),), entries=(a_draft(3),)))
    migrated.save(Change(models=(a_model(),), canaries=((LINEAGE, CANARIES),)))
    hold = replace(a_hold(3), request_id="newer")
    migrated.save(Change(holds=(hold,), held_samples=((hold.hold_id, ("b",)),)))
    migrated.save(Change(deployments=(a_deployment("newer"),), purges=(PLANNED,)))
    assert len(migrated.canaries(LINEAGE)) == len(CANARIES)
    assert migrated.held_counts(LINEAGE) == {"tkt-0002": 1}
    assert verify_chain(migrated.ledger()) == 3
    migrated.close()


def _known_to(revision: str) -> Change:
    """Return a change that a database of this revision could hold."""
    known = replace(WHOLE, deployments=(), purges=())
    if revision < "0003":
        known = replace(known, holds=(), held_samples=())
    return known if revision > "0001" else replace(known, canaries=(), canaries_taken=())


_UNDO = {
    "0005": (
        "DROP TABLE deployments",
        "DROP TABLE purges",
        "DROP INDEX ix_runs_newest",
        "ALTER TABLE runs DROP COLUMN tenant",
        "ALTER TABLE runs DROP COLUMN created_at",
        "UPDATE tickets SET document = json_remove(document, '$.rungs_left')",
        "UPDATE runs SET document = json_remove(document, '$.orders')",
    ),
    "0004": (
        "DROP TABLE ticket_uploads",
        "DROP TABLE upload_pieces",
        "DROP TABLE uploads",
        "DROP INDEX ix_ledger_subject",
        "UPDATE tickets SET document = json_remove(document, '$.extensions')",
    ),
    "0003": (
        "DROP TABLE held_samples",
        "DROP TABLE holds",
        "UPDATE tickets SET document = json_remove(document, '$.forgotten_count')",
    ),
    "0002": (
        "DROP TABLE canaries",
        "UPDATE models SET document = json_remove(document, '$.canary_commitment')",
        "UPDATE models SET document = json_remove(document, '$.manifest.canary_rows')",
    ),
}
"""What makes of a database the one that the revision before had made, its documents included."""


def _downgrade(engine: sa.Engine, revision: str) -> None:
    with engine.begin() as connection:
        for newer in sorted(_UNDO, reverse=True):
            for statement in _UNDO[newer] if newer > revision else ():
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        (documents,) = connection.exec_driver_sql("SELECT group_concat(document) FROM runs").one()
        assert "canaries" not in documents
        assert "holds" not in documents


def test_the_revisions_are_one_chain() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("service.adapters") / "migrations"))
    chain = [revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()]
    assert chain == ["0005", "0004", "0003", "0002", "0001"]


def test_the_revisions_make_the_tables_of_the_code(sql_store: SqlStore) -> None:
    expected = sa.create_engine("sqlite://")
    METADATA.create_all(expected)

    assert _statements(sql_store._engine) == _statements(expected)
    expected.dispose()


@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_alembic_finds_nothing_left_to_migrate(sql_store: SqlStore) -> None:
    with sql_store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def _statements(engine: sa.Engine) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(query).all()
    return {name: " ".join(sql.split()) for name, sql in rows}


@pytest.mark.parametrize(
    "url", ["sqlite:///{0}/none/store.db", "sqlite:///{0}", "sqlite:///file:{0}/none?mode=ro&uri=true"]
)
def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be reached or written"):
        connect_store(url.format(tmp_path))


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"weights, not rows. " * 500)

    with pytest.raises(StoreUnavailableError):
        connect_store(f"sqlite:///{tmp_path}/store.db")


def test_on_a_full_disk_a_change_is_refused_and_nothing_is_lost(sql_store: SqlStore, tmp_path: Path) -> None:
    sql_store.save(WHOLE)
    large = tuple(f"sample-{number:0100d}" for number in range(5000))

    with _unchanged(sql_store), _largest_file(200_000), pytest.raises(StoreUnavailableError):
        saved(sql_store, a_ticket(1), *large)
    saved(sql_store, a_ticket(1), *large)
    assert tuple(sql_store.sample_ids("tkt-0001")) == large


@pytest.mark.parametrize(
    "tampering",
    [
        "actor = 'somebody'", "kind = 'released'", "kind = 'rubbish'", "subject = 'tkt-9'", "at = at + 1",
        "payload = '{}'", "payload = 'rubbish'", "payload = '{\"a\": NaN}'", "payload_digest = 'x'",
        "previous_digest = 'x'", "digest = 'x'", "sequence = 9",
    ],
)  # fmt: skip
def test_a_ledger_that_was_changed_in_the_database_does_not_verify(sql_store: SqlStore, tampering: str) -> None:
    sql_store.save(Change(entries=(a_draft(1), a_draft(2), a_draft(3))))
    with sql_store._engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE ledger SET {tampering} WHERE sequence = 2")

    with pytest.raises(LedgerBrokenError):
        verify_chain(sql_store.ledger())


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: what the process sees is what a full disk gives."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
