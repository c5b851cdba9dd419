"""The server as a whole: where it listens, how much it takes, how it stops, how it is seen."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from prometheus_client import CollectorRegistry

from service.pb.unlearning.v1.deletion_service_pb2 import GetTicketRequest, ListTicketsRequest
from service.pb.unlearning.v1.deletion_service_pb2_grpc import DeletionServiceStub
from service.rpc.errors import CannotListenError
from service.rpc.server import MAX_HEALTH_WATCHERS, SERVED, build_server
from service.settings import Settings
from service.telemetry import Metrics
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api, submission

THREADS = 2 + 2 + 2 + MAX_HEALTH_WATCHERS
"""For calls, watchers, uploads, and watchers of health: as the fixture's settings have it."""
CAPACITY = THREADS + 2
"""With the queue."""


def _health_stub(channel: grpc.Channel) -> Any:
    return HealthStub(channel)  # its stubs know none of its methods


def _health(channel: grpc.Channel, service: str) -> int:
    return int(_health_stub(channel).Check(HealthCheckRequest(service=service)).status)


def _build(api: Api, settings: Settings) -> object:
    return build_server(api.application, settings, Metrics(CollectorRegistry()), api.clock)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_without_tls_only_this_machine_is_listened_to(api: Api, settings: Settings, host: str) -> None:
    with pytest.raises(CannotListenError, match="without TLS"):
        _build(api, settings.model_copy(update={"host": host}))


def test_a_taken_port_is_an_error_and_not_shared(api: Api, settings: Settings) -> None:
    with pytest.raises(CannotListenError, match="another server"):
        _build(api, settings.model_copy(update={"port": api.server.port}))


@pytest.mark.skipif(not socket.has_ipv6, reason="needs a machine with IPv6")
def test_the_loopback_address_of_ipv6_is_served(api: Api, settings: Settings) -> None:
    server = build_server(
        api.application, settings.model_copy(update={"host": "::1"}), Metrics(CollectorRegistry()), api.clock
    )
    server.start()
    with grpc.insecure_channel(f"[::1]:{server.port}") as channel:
        DeletionServiceStub(channel).ListTickets(ListTicketsRequest())
    server.drain()


def test_more_calls_than_it_takes_are_refused_at_once(api: Api) -> None:
    api.application.gate.clear()
    with ThreadPoolExecutor(CAPACITY) as callers:
        held = [
            callers.submit(api.deletion.SubmitTicket, submission(f"request-{number}")) for number in range(CAPACITY)
        ]
        for _ in range(THREADS):  # the rest waits in the queue
            assert api.application.waiting.acquire(timeout=10.0)
        time.sleep(0.2)  # nothing tells that the queue is full but the refusal itself
        began = time.monotonic()
        refusal = refusal_of(lambda: api.deletion.ListTickets(ListTicketsRequest()))
        took = time.monotonic() - began
        api.application.gate.set()
        answered = [call.result(timeout=10.0) for call in held]

    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert took < 1.0
    assert len(answered) == CAPACITY, "what was accepted is served"


def test_a_message_that_is_too_large_is_refused(api: Api) -> None:
    request = submission("r", "x" * (5 * 2**20))

    assert refusal_of(lambda: api.deletion.SubmitTicket(request)).code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_health_is_told_for_every_service(api: Api) -> None:
    for service in ("", *(service.full_name for service in SERVED)):
        assert _health(api.channel, service) == HealthCheckResponse.SERVING
    assert refusal_of(lambda: _health(api.channel, "nonsense")).code is grpc.StatusCode.NOT_FOUND


def _watch_health(api: Api, count: int) -> list[Any]:
    watches = [_health_stub(api.channel).Watch(HealthCheckRequest()) for _ in range(count)]
    assert [next(watch).status for watch in watches] == [HealthCheckResponse.SERVING] * count
    return watches


def test_watching_health_takes_no_place_from_callers(api: Api) -> None:
    watches = _watch_health(api, MAX_HEALTH_WATCHERS)
    refusal = refusal_of(lambda: next(_health_stub(api.channel).Watch(HealthCheckRequest())))
    api.deletion.ListTickets(ListTicketsRequest(), timeout=5.0)

    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(watches) == MAX_HEALTH_WATCHERS


def test_an_unknown_service_can_be_watched_and_is_unknown(api: Api) -> None:
    watch = _health_stub(api.channel).Watch(HealthCheckRequest(service="nonsense"))

    assert next(watch).status == HealthCheckResponse.SERVICE_UNKNOWN


def test_watchers_of_health_hear_of_a_drain_and_do_not_delay_it(api: Api) -> None:
    watches = _watch_health(api, MAX_HEALTH_WATCHERS)
    began = time.monotonic()
    api.server.drain()
    took = time.monotonic() - began

    assert [[state.status for state in watch] for watch in watches] == [
        [HealthCheckResponse.NOT_SERVING]
    ] * MAX_HEALTH_WATCHERS
    assert took < 1.5, "they used up the grace"


def test_watchers_of_health_who_leave_during_a_drain_do_not_stop_it(api: Api) -> None:
    watches = _watch_health(api, MAX_HEALTH_WATCHERS)
    drain = threading.Thread(target=api.server.drain)
    drain.start()
    for watch in watches:
        watch.cancel()
    drain.join(timeout=10.0)

    assert not drain.is_alive()


def test_draining_says_not_serving_before_it_stops_and_lets_open_calls_end(api: Api) -> None:
    (watch,) = _watch_health(api, 1)
    api.application.gate.clear()
    with ThreadPoolExecutor(1) as callers:
        held = callers.submit(api.deletion.SubmitTicket, submission())
        assert api.application.waiting.acquire(timeout=10.0)
        drain = threading.Thread(target=api.server.drain)
        drain.start()
        states = [state.status for state in watch]
        assert not held.done()
        api.application.gate.set()
        ticket = held.result(timeout=10.0).ticket
        drain.join()

    assert states == [HealthCheckResponse.NOT_SERVING]
    assert ticket.ticket_id
    refusal = refusal_of(lambda: api.deletion.GetTicket(GetTicketRequest(ticket_id=ticket.ticket_id)))
    assert refusal.code is grpc.StatusCode.UNAVAILABLE


def _reflected(channel: grpc.Channel) -> set[str]:
    stub: Any = ServerReflectionStub(channel)
    stream = stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
    return {service.name for service in next(stream).list_services_response.service}


def test_reflection_names_every_service(api: Api) -> None:
    names = _reflected(api.channel)

    assert {f"unlearning.v1.{name}Service" for name in ("Deletion", "Hold", "Model", "Run", "Ledger")} < names
    assert "grpc.health.v1.Health" in names


def test_reflection_can_be_turned_off(api: Api, settings: Settings) -> None:
    server = build_server(
        api.application, settings.model_copy(update={"reflection": False}), Metrics(CollectorRegistry()), api.clock
    )
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert refusal_of(lambda: _reflected(channel)).code is grpc.StatusCode.UNIMPLEMENTED
    server.drain()
