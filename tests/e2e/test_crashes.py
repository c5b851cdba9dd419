"""Any process may be killed at any moment: the ticket still ends SUCCEEDED, once, with nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.adapters.sql_store import connect_store
from service.bootstrap import build_objects
from service.client import connect
from service.domain.ledger import verify_chain
from service.domain.release import pointer_key
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb
from service.settings import Settings
from tests.e2e.noisy_digits import NoisyDigits
from tests.e2e.processes import Server, kill_workers, serving, start_server, wait_for, wait_until_settled, workers
from tests.e2e.requests import LINEAGE, register, submit


def _phase_of_any_attempt(home: Path) -> str:
    """Return what the newest attempt says that it is doing."""
    notes = sorted((home / "objects").rglob("progress.json*"))
    for note in reversed(notes):
        target = note.resolve()
        try:
            return str(json.loads(target.read_bytes())["phase"])
        except (OSError, ValueError, KeyError):
            continue
    return ""


def _exists(home: Path, name: str) -> bool:
    return any(True for _ in (home / "objects").rglob(name))


def _kill_server_as_soon_as_the_ticket_is_acknowledged(server: Server) -> None:
    server.kill()


def _kill_worker_while_it_unlearns(server: Server) -> None:
    wait_for(lambda: _phase_of_any_attempt(server.home) in {"pre_unlearn", "mask", "curve", "select"})
    kill_workers(server.home)


def _kill_worker_while_it_audits(server: Server) -> None:
    wait_for(lambda: _phase_of_any_attempt(server.home) == "audit")
    kill_workers(server.home)


def _kill_server_and_worker_while_it_unlearns(server: Server) -> None:
    wait_for(lambda: bool(workers(server.home)))
    server.kill()
    kill_workers(server.home)


def _kill_server_while_it_publishes(server: Server) -> None:
    wait_for(lambda: _exists(server.home, "*v000002*"))
    server.kill()


CRASHES: tuple[Callable[[Server], None], ...] = (
    _kill_server_as_soon_as_the_ticket_is_acknowledged,
    _kill_worker_while_it_unlearns,
    _kill_worker_while_it_audits,
    _kill_server_and_worker_while_it_unlearns,
    _kill_server_while_it_publishes,
)


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.__name__.strip("_"))
def test_a_ticket_survives(crash: Callable[[Server], None], tmp_path: Path, digits: NoisyDigits) -> None:
    home = tmp_path / "service"
    with serving(home) as server:
        with connect(server.grpc) as client:
            register(client, home, digits)
            ticket_id = submit(client, digits.forget_ids).ticket_id
        crash(server)
        survivor = server if server.process.poll() is None else start_server(home)
        try:
            ticket = wait_until_settled(survivor.grpc, ticket_id)
            # The run is purged right after the ticket has closed; a service killed in between does it when it is back.
            wait_for(lambda: not _personal_leftovers(home, ticket.run_id), seconds=60)
        finally:
            survivor.kill()

    assert ticket.state == ticket_pb.TICKET_STATE_SUCCEEDED, [reason.text for reason in ticket.reasons]
    _assert_one_release_and_no_claim_left(home, ticket)


def _personal_leftovers(home: Path, run_id: str) -> list[str]:
    objects = build_objects(Settings(data_dir=home))
    return [key for key in objects.keys(f"runs/{run_id}/") if key.endswith((".safetensors", ".parquet"))]


def _assert_one_release_and_no_claim_left(home: Path, ticket: ticket_pb.Ticket) -> None:
    store = connect_store(f"sqlite:///{home / 'store.db'}")
    try:
        assert [release.number for release in store.releases(LINEAGE)] == [2, 1]
        assert list(store.active_runs()) == []
        assert len(store.forgotten_rows(LINEAGE)) == ticket.sample_count
        assert verify_chain(store.ledger()) > 0
    finally:
        store.close()
    objects = build_objects(Settings(data_dir=home))
    pointer = json.loads(objects.read(pointer_key(LINEAGE)))
    assert pointer["release"] == ticket.release_number == 2
    assert objects.read(pointer["weights"])
    assert _personal_leftovers(home, ticket.run_id) == []
    assert workers(home) == []
