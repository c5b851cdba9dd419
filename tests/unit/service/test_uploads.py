"""Uploads: whole or nothing, once per request, and no longer than promised."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.memory import FrozenClock
from service.adapters.memory_store import MemoryStore
from service.domain.upload import UploadHeader
from service.errors import (
    DuplicateSampleIdsError,
    InvalidRequestError,
    RequestIdReusedError,
    UnknownUploadError,
    UploadIncompleteError,
)
from service.uploads import UploadOffice
from tests.records import LINEAGE, NOW, TENANT
from tests.world import KEY

KEEP = timedelta(hours=24)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def office(store: MemoryStore) -> UploadOffice:
    return UploadOffice(store=store, clock=FrozenClock(NOW), key=KEY, most_ids=100, keep=KEEP)


def header(count: int, request_id: str = "upload") -> UploadHeader:
    return UploadHeader(request_id=request_id, lineage=LINEAGE, sample_count=count)


PIECES = [("a", "b"), ("c",)]


@given(st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=5))
def test_the_ids_come_back_whatever_the_pieces(drawn: list[list[int]]) -> None:
    seen: set[int] = set()
    pieces = [[f"id {n}" for n in piece if not (n in seen or seen.add(n))] for piece in drawn]  # type: ignore[func-returns-value]
    ids = [key for piece in pieces for key in piece] or ["one"]
    office = UploadOffice(store=MemoryStore(), clock=FrozenClock(NOW), key=KEY, most_ids=100, keep=KEEP)
    upload = office.receive(header(len(ids)), pieces if seen else [["one"]], tenant=TENANT)

    assert list(office.sample_ids(upload.upload_id, tenant=TENANT, lineage=LINEAGE)) == ids
    assert upload.ids_commitment == KEY.of_sample_ids(ids)
    assert upload.expires_at == NOW + KEEP


def test_the_same_set_under_the_same_request_id_is_one_upload(office: UploadOffice, store: MemoryStore) -> None:
    first = office.receive(header(3), PIECES, tenant=TENANT)

    assert office.receive(header(3), [("a",), ("b", "c")], tenant=TENANT) == first
    assert len(store._uploads) == 1


def test_another_set_under_the_request_id_is_refused_and_not_kept(office: UploadOffice, store: MemoryStore) -> None:
    office.receive(header(3), PIECES, tenant=TENANT)

    with pytest.raises(RequestIdReusedError):
        office.receive(header(3), [("a", "b", "d")], tenant=TENANT)
    assert len(store._uploads) == 1
    assert office.receive(header(3), [("a", "b", "d")], tenant="other").tenant == "other"


@pytest.mark.parametrize("pieces", [[], [("a",)], [("a", "b"), ("c", "d")], [("a", "b", "c", "d")]])
def test_another_number_of_ids_than_promised_is_refused_and_not_kept(
    office: UploadOffice, store: MemoryStore, pieces: list[tuple[str, ...]]
) -> None:
    with pytest.raises(UploadIncompleteError):
        office.receive(header(3), pieces, tenant=TENANT)
    assert not store._uploads


def test_repeated_ids_are_named_by_position(office: UploadOffice, store: MemoryStore) -> None:
    with pytest.raises(DuplicateSampleIdsError) as refused:
        office.receive(header(5), [("a", "b"), ("a", "c", "b")], tenant=TENANT)
    assert refused.value.positions == (2, 4)
    assert not store._uploads


@pytest.mark.parametrize("count", [-1, 0, 101])
def test_an_upload_promises_what_is_allowed(office: UploadOffice, count: int) -> None:
    with pytest.raises(InvalidRequestError):
        office.receive(header(count), [], tenant=TENANT)


def test_a_broken_stream_leaves_nothing_that_could_be_used(office: UploadOffice, store: MemoryStore) -> None:
    def breaking() -> Iterator[Sequence[str]]:
        yield ("a", "b")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        office.receive(header(3), breaking(), tenant=TENANT)
    assert not store._uploads
    assert office.receive(header(3), PIECES, tenant=TENANT).is_complete


def test_of_two_streams_of_a_request_at_once_one_is_kept_and_both_answer_alike(store: MemoryStore) -> None:
    office = UploadOffice(store=store, clock=FrozenClock(NOW), key=KEY, most_ids=100, keep=KEEP)
    together = threading.Barrier(2)

    def slowly() -> Iterator[Sequence[str]]:
        yield PIECES[0]
        together.wait()
        yield PIECES[1]

    with ThreadPoolExecutor() as pool:
        one, other = pool.map(lambda _: office.receive(header(3), slowly(), tenant=TENANT), range(2))
    assert one == other
    assert list(store._uploads) == [one.upload_id]


def test_an_upload_belongs_to_its_tenant_and_lineage_until_it_expires(office: UploadOffice) -> None:
    upload = office.receive(header(3), PIECES, tenant=TENANT)

    for tenant, lineage in ((TENANT, "other"), ("other", LINEAGE)):
        with pytest.raises(UnknownUploadError):
            office.sample_ids(upload.upload_id, tenant=tenant, lineage=lineage)
    office.clock.advance(KEEP)  # type: ignore[attr-defined]  # a frozen one
    with pytest.raises(UnknownUploadError):
        office.sample_ids(upload.upload_id, tenant=TENANT, lineage=LINEAGE)
    office.sweep()
    assert office.store.upload(upload.upload_id) is None
