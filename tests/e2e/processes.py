"""The service as its user runs it: `unlearn serve` in a process of its own, killed without mercy where a test asks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.client import Client, connect
from service.pb.unlearning.v1 import deletion_service_pb2 as deletion_pb
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb

START_SECONDS = 60.0
FINISH_SECONDS = 240.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running service."""

    process: subprocess.Popen[bytes]
    home: Path
    grpc: str
    metrics: str

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


def start_server(home: Path, extra: Mapping[str, str] | None = None) -> Server:
    """Start `unlearn serve` on free ports and wait until it says where it listens."""
    home.mkdir(exist_ok=True)
    endpoint = home / "endpoint.json"
    endpoint.unlink(missing_ok=True)
    with (home / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", "0", "--metrics-port", "0"],
            env=environment(home) | dict(extra or {}),
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + START_SECONDS
    while not endpoint.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the service did not start: {(home / 'service.log').read_text()[-2000:]}")
        time.sleep(POLL_SECONDS)
    addresses = json.loads(endpoint.read_text())
    return Server(process=process, home=home, grpc=addresses["grpc"], metrics=addresses["metrics"])


def environment(home: Path) -> dict[str, str]:
    """Return what a service and the commands that speak to its data directory need."""
    return os.environ | {
        "UNLEARN_DATA_DIR": str(home),
        "UNLEARN_RECONCILE_INTERVAL_SECONDS": "0.1",
        "UNLEARN_RETRY_SECONDS": "0.1",
        "UNLEARN_WORKER_THREADS": "1",
        "UNLEARN_POLICY_FILE": str(Path(__file__).parent / "policy.yaml"),
    }


@contextmanager
def serving(home: Path, extra: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serve until the block ends; afterwards no process of the service or of its jobs is left."""
    server = start_server(home, extra)
    try:
        yield server
    finally:
        server.kill()
        kill_workers(home)


def workers(home: Path) -> list[int]:
    """Return the process ids of the jobs of one data directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended while we looked
        if b"work" in command and f"UNLEARN_DATA_DIR={home}".encode() in variables:
            found.append(int(entry.name))
    return found


def kill_workers(home: Path) -> None:
    """Kill every job of one data directory."""
    for pid in workers(home):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def ticket_of(client: Client, ticket_id: str) -> ticket_pb.Ticket:
    """Return a ticket."""
    return client.deletion.GetTicket(deletion_pb.GetTicketRequest(ticket_id=ticket_id), timeout=15).ticket


def wait_until_settled(address: str, ticket_id: str) -> ticket_pb.Ticket:
    """Wait until a ticket is closed or needs a person."""
    settled = {
        ticket_pb.TICKET_STATE_SUCCEEDED,
        ticket_pb.TICKET_STATE_NEEDS_ATTENTION,
        ticket_pb.TICKET_STATE_CANCELLED,
        ticket_pb.TICKET_STATE_REJECTED,
    }
    with connect(address) as client:
        deadline = time.monotonic() + FINISH_SECONDS
        while (ticket := ticket_of(client, ticket_id)).state not in settled:
            if time.monotonic() > deadline:
                raise AssertionError(f"the ticket is still {ticket_pb.TicketState.Name(ticket.state)}")
            time.sleep(0.1)
    return ticket


def wait_for(condition: Callable[[], bool], seconds: float = FINISH_SECONDS) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("the condition never held")
        time.sleep(POLL_SECONDS)
