"""What every store promises about uploads: the one in memory and the one on SQLite."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.adapters.memory_store import MemoryStore
from service.adapters.sql_store import SqlStore, connect_store
from service.domain.upload import Upload, UploadHeader
from service.errors import RequestIdReusedError, StaleVersionError
from service.ports import Change
from service.uploads import UploadStore
from tests.records import LINEAGE, NOW, TENANT, a_ticket, digest_of

KEEP = timedelta(hours=1)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryStore | SqlStore]:
    opened = MemoryStore() if request.param == "memory" else connect_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def an_upload(number: int = 1, *, request_id: str = "upload", tenant: str = TENANT) -> Upload:
    return Upload(
        upload_id=f"upl-{number}",
        tenant=tenant,
        header=UploadHeader(request_id=request_id, lineage=LINEAGE, sample_count=5),
        created_at=NOW,
        expires_at=NOW + KEEP,
    )


def complete(store: UploadStore, upload: Upload) -> Upload:
    store.begin_upload(upload)
    store.extend_upload(upload.upload_id, 0, ["π", 'a"b', "a\nb"])
    store.extend_upload(upload.upload_id, 3, ["d", "e"])
    finished = replace(upload, ids_commitment=digest_of("ids"))
    store.finish_upload(finished)
    return finished


IDS = ["π", 'a"b', "a\nb", "d", "e"]


def test_an_upload_reads_back_with_its_ids_in_their_order(store: MemoryStore | SqlStore) -> None:
    finished = complete(store, an_upload())

    assert store.upload("upl-1") == finished
    assert [key for piece in store.uploaded_ids("upl-1") for key in piece] == IDS
    assert store.upload("upl-2") is None
    assert [key for piece in store.uploaded_ids("upl-2") for key in piece] == []


def test_an_upload_that_is_not_complete_is_not_its_requests(store: MemoryStore | SqlStore) -> None:
    store.begin_upload(an_upload())
    assert store.upload_by_request(TENANT, "upload") is None

    finished = complete(store, an_upload(2))
    assert store.upload_by_request(TENANT, "upload") == finished
    assert store.upload_by_request("other", "upload") is None


def test_one_upload_of_a_request_is_complete(store: MemoryStore | SqlStore) -> None:
    complete(store, an_upload(1))
    complete(store, an_upload(2, tenant="other"))
    complete(store, an_upload(3, request_id="another"))

    with pytest.raises(RequestIdReusedError):
        complete(store, an_upload(4))
    assert store.upload_by_request(TENANT, "upload") == replace(an_upload(1), ids_commitment=digest_of("ids"))


def test_a_tickets_ids_are_those_of_the_upload_that_it_uses(store: MemoryStore | SqlStore) -> None:
    complete(store, an_upload())
    for number in (1, 2):
        ticket = a_ticket(number)
        store.save(Change(tickets=(ticket,), uploads_used=((ticket.ticket_id, "upl-1"),)))
        assert list(store.sample_ids(ticket.ticket_id)) == IDS


def test_what_has_expired_is_erased_unless_a_ticket_uses_it(store: MemoryStore | SqlStore) -> None:
    complete(store, an_upload(1))
    complete(store, an_upload(2, request_id="used"))
    store.begin_upload(an_upload(3))
    store.extend_upload("upl-3", 0, ["a"])
    ticket = a_ticket()
    store.save(Change(tickets=(ticket,), uploads_used=((ticket.ticket_id, "upl-2"),)))

    assert store.erase_uploads(NOW + KEEP - timedelta(microseconds=1)) == 0
    assert store.erase_uploads(NOW + KEEP) == 2
    assert [store.upload(f"upl-{number}") is None for number in (1, 2, 3)] == [True, False, True]
    assert list(store.sample_ids(ticket.ticket_id)) == IDS
    assert store.erase_uploads(NOW + KEEP) == 0


def test_an_upload_in_use_is_not_dropped(store: MemoryStore | SqlStore) -> None:
    complete(store, an_upload())
    ticket = a_ticket()
    store.save(Change(tickets=(ticket,), uploads_used=((ticket.ticket_id, "upl-1"),)))
    store.drop_upload("upl-1")
    assert list(store.sample_ids(ticket.ticket_id)) == IDS

    complete(store, an_upload(2, request_id="another"))
    store.drop_upload("upl-2")
    store.drop_upload("upl-2")
    assert store.upload("upl-2") is None


def test_a_ticket_on_an_erased_upload_is_not_saved_at_all(store: MemoryStore | SqlStore) -> None:
    ticket = a_ticket()

    with pytest.raises(StaleVersionError):
        store.save(Change(tickets=(ticket,), uploads_used=((ticket.ticket_id, "upl-1"),)))
    assert store.ticket(ticket.ticket_id) is None


def test_an_erased_upload_takes_no_more_ids_and_is_not_finished(store: MemoryStore | SqlStore) -> None:
    with pytest.raises(StaleVersionError) as refused:
        store.extend_upload("upl-1", 0, ["secret-id"])
    assert "secret-id" not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(StaleVersionError):
        store.finish_upload(replace(an_upload(), ids_commitment=digest_of("ids")))


def test_erasing_leaves_no_id_in_the_database(tmp_path: Path) -> None:
    store = connect_store(f"sqlite:///{tmp_path}/store.db")
    complete(store, an_upload())
    store.erase_uploads(NOW + KEEP)

    with store._engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM upload_pieces")).scalar_one() == 0
    store.close()
