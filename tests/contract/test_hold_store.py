"""What every store promises about holds: the one in memory and the one on SQLite."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from service.domain.hold import Hold, HoldState, release
from service.domain.ticket import TicketState
from service.errors import RequestIdReusedError, StaleVersionError
from service.hold_port import HoldQuery
from service.ports import Change, Store
from service.uploads import UploadStore
from tests.contract.test_store import OPENERS
from tests.contract.test_upload_store import an_upload, complete
from tests.records import LINEAGE, TENANT, a_hold, a_ticket, an_end


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)
    yield opened
    opened.close()


def held(store: Store, hold: Hold, *sample_ids: str) -> Hold:
    store.save(Change(holds=(hold,), held_samples=((hold.hold_id, sample_ids),)))
    found = store.hold(hold.hold_id)
    assert found is not None
    return found


def ended(store: Store, hold: Hold, request_id: str = "end") -> Hold:
    store.save(Change(holds=(release(hold, an_end(request_id)),)))
    found = store.hold(hold.hold_id)
    assert found is not None
    return found


def submitted(store: Store, number: int, *sample_ids: str, lineage: str = LINEAGE) -> str:
    ticket = a_ticket(number, lineage=lineage)
    store.save(Change(tickets=(ticket,), sample_ids=((ticket.ticket_id, sample_ids),)))
    return ticket.ticket_id


def test_an_empty_store_has_no_holds(store: Store) -> None:
    assert store.hold("hld-1") is None
    assert store.hold_by_request(TENANT, "hold-1") is None
    assert [*store.holds(HoldQuery()), *store.active_holds(LINEAGE), *store.held_samples("hld-1")] == []
    assert store.held_counts(LINEAGE) == store.waiting_counts(["hld-1"]) == store.waiting_counts([]) == {}
    assert store.totals().holds_active == 0


def test_a_hold_reads_back_as_it_was_saved_with_its_samples_in_order(store: Store) -> None:
    hold = held(store, a_hold(), "z", "a", "日本")

    assert hold == replace(a_hold(), version=1)
    assert store.hold_by_request(TENANT, "hold-1") == hold
    assert tuple(store.held_samples(hold.hold_id)) == ("z", "a", "日本")


def test_a_released_hold_is_no_longer_active_and_keeps_its_samples(store: Store) -> None:
    first, second = held(store, a_hold(1), "a"), held(store, a_hold(2), "a")
    assert [hold.hold_id for hold in store.active_holds(LINEAGE)] == ["hld-0001", "hld-0002"]
    assert store.totals().holds_active == 2

    done = ended(store, first)
    assert (done.state, done.release, done.version) == (HoldState.RELEASED, an_end("end"), 2)
    assert list(store.active_holds(LINEAGE)) == [second]
    assert list(store.held_samples(first.hold_id)) == ["a"]
    assert store.totals().holds_active == 1


def test_the_version_that_was_read_can_be_released_once(store: Store) -> None:
    hold = held(store, a_hold(), "a")
    ended(store, hold)

    with pytest.raises(StaleVersionError):
        ended(store, hold, "another")


def test_a_request_id_belongs_to_one_hold_of_its_tenant(store: Store) -> None:
    held(store, a_hold(1), "a")
    with pytest.raises(RequestIdReusedError):
        held(store, replace(a_hold(2), request_id="hold-1"), "b")

    assert held(store, replace(a_hold(2, tenant="other"), request_id="hold-1"), "b").version == 1


def test_a_request_id_releases_one_hold_of_its_tenant(store: Store) -> None:
    first, second = held(store, a_hold(1), "a"), held(store, a_hold(2), "a")
    other = held(store, a_hold(3, tenant="other"), "a")
    ended(store, first, "end")
    with pytest.raises(RequestIdReusedError):
        ended(store, second, "end")

    assert store.hold(second.hold_id) == second
    assert ended(store, other, "end").state is HoldState.RELEASED


def test_holds_are_listed_newest_first_by_tenant_lineage_and_state(store: Store) -> None:
    one, _, elsewhere = held(store, a_hold(1)), held(store, a_hold(2, tenant="other")), a_hold(3, lineage="other")
    held(store, elsewhere)
    ended(store, one)

    def listed(query: HoldQuery) -> list[str]:
        return [hold.hold_id[-1] for hold in store.holds(query)]

    assert listed(HoldQuery()) == ["3", "2", "1"]
    assert listed(HoldQuery(tenant=TENANT)) == ["3", "1"]
    assert listed(HoldQuery(lineage=LINEAGE)) == ["2", "1"]
    assert listed(HoldQuery(states=frozenset({HoldState.RELEASED}))) == ["1"]
    assert listed(HoldQuery(states=frozenset(HoldState), limit=2)) == ["3", "2"]


def test_pages_miss_nothing_and_repeat_nothing_while_holds_come_in(store: Store) -> None:
    for number in range(1, 8):
        held(store, replace(a_hold(number), placed_at=a_hold(1 + number // 3).placed_at))
    seen: list[str] = []
    after = None
    while page := store.holds(HoldQuery(after=after, limit=2)):
        seen += [hold.hold_id for hold in page]
        after = (page[-1].placed_at, page[-1].hold_id)
        held(store, a_hold(100 + len(seen)))

    assert sorted(seen) == [f"hld-{number:04d}" for number in range(1, 8)]
    assert len(seen) == 7


def test_a_sample_under_two_holds_counts_once_for_its_ticket_and_for_each_hold(store: Store) -> None:
    first, second, elsewhere = (
        held(store, a_hold(1), "a", "b"),
        held(store, a_hold(2), "b", "c"),
        held(store, a_hold(3, lineage="other"), "a"),
    )
    both = submitted(store, 1, "b", "c", "x")
    one = submitted(store, 2, "a")
    submitted(store, 3, "x", "y")
    away = submitted(store, 4, "a", lineage="other")

    assert store.held_counts(LINEAGE) == {both: 2, one: 1}
    assert store.held_counts("other") == {away: 1}
    holds = [first.hold_id, second.hold_id, elsewhere.hold_id]
    assert store.waiting_counts(holds) == {"hld-0001": 2, "hld-0002": 1, "hld-0003": 1}

    ended(store, first)
    assert store.held_counts(LINEAGE) == {both: 2}
    assert store.waiting_counts(holds) == {"hld-0002": 1, "hld-0003": 1}


def test_closed_tickets_wait_for_no_hold(store: Store) -> None:
    hold = held(store, a_hold(), "a")
    ticket = store.ticket(submitted(store, 1, "a"))
    assert ticket is not None
    store.save(Change(tickets=(replace(ticket, state=TicketState.CANCELLED, closed_at=ticket.received_at),)))

    assert store.held_counts(LINEAGE) == store.waiting_counts([hold.hold_id]) == {}


def test_thousands_of_holds_are_counted_at_once(store: Store) -> None:
    holds = tuple(a_hold(number) for number in range(1, 1202))
    store.save(Change(holds=holds, held_samples=tuple((hold.hold_id, ("a",)) for hold in holds)))
    ticket = submitted(store, 1, "a")

    assert store.held_counts(LINEAGE) == {ticket: 1}
    assert store.waiting_counts([hold.hold_id for hold in holds]) == {hold.hold_id: 1 for hold in holds}


def test_samples_of_a_ticket_that_were_uploaded_are_counted_like_those_of_its_request(store: Store) -> None:
    first, second = held(store, a_hold(1), "b", "e"), held(store, a_hold(2), "e", "elsewhere")
    other = held(store, a_hold(3, lineage="other"), "a", "b")
    upload = an_upload()
    complete(cast("UploadStore", store), upload)
    ticket = a_ticket(1)
    store.save(Change(tickets=(ticket,), uploads_used=((ticket.ticket_id, upload.upload_id),)))
    inline = submitted(store, 2, "b", "e", "f")

    assert store.held_counts(LINEAGE) == {ticket.ticket_id: 1, inline: 2}
    both = [first.hold_id, second.hold_id, other.hold_id]
    assert store.waiting_counts(both) == {first.hold_id: 2, second.hold_id: 2}
    ended(store, second, "end 2")
    ended(store, first, "end 1")
    assert store.held_counts(LINEAGE) == store.waiting_counts(both) == {}
