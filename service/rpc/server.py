"""The gRPC server: synchronous, with a bounded pool of threads and a bounded queue before it."""

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from service.pb.unlearning.v1 import (
    deletion_service_pb2,
    deletion_service_pb2_grpc,
    hold_service_pb2,
    hold_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
)
from service.ports import Clock
from service.rpc.application import Application
from service.rpc.decoding import DecodingInterceptor
from service.rpc.deletion_servicer import DeletionServicer
from service.rpc.errors import CannotListenError
from service.rpc.handlers import kind_of
from service.rpc.health import Health
from service.rpc.hold_servicer import HoldServicer
from service.rpc.interceptors import CallInterceptor
from service.rpc.ledger_servicer import LedgerServicer
from service.rpc.model_servicer import ModelServicer
from service.rpc.run_servicer import RunServicer
from service.rpc.surroundings import answer_errors, correlate, measure, require_identity
from service.rpc.watchers import Watchers
from service.settings import Settings
from service.telemetry import Metrics

SERVED: tuple[ServiceDescriptor, ...] = (
    deletion_service_pb2.DESCRIPTOR.services_by_name["DeletionService"],
    hold_service_pb2.DESCRIPTOR.services_by_name["HoldService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    run_service_pb2.DESCRIPTOR.services_by_name["RunService"],
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
)

MAX_HEALTH_WATCHERS = 8
"""Load balancers and the like; each holds a thread."""

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # otherwise a second server on the same port gets half of the calls, silently
    ("grpc.keepalive_time_ms", 30_000),  # a watcher whose machine went away gives its place back
    ("grpc.keepalive_timeout_ms", 10_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcServer:
    """A server that is bound to its port, and serves once it is started.

    Attributes:
        port: on which it listens, also where 0 was asked for.
    """

    port: int
    server: grpc.Server
    health: Health
    watchers: Watchers
    drain_seconds: float

    def start(self) -> None:
        """Serve, and say so."""
        self.server.start()
        self.health.serve(["", *(service.full_name for service in SERVED)])

    def drain(self) -> None:
        """Stop with grace; returns when every call has ended.

        1. Health says NOT_SERVING, so that no new caller comes.
        2. Watchers are sent away: they would not end by themselves.
        3. New calls are refused; open ones have `drain_seconds` to end.
        """
        self.health.drain()
        self.watchers.drain()
        self.server.stop(self.drain_seconds).wait()


def build_server(application: Application, settings: Settings, metrics: Metrics, clock: Clock) -> RpcServer:
    """Build the server and bind it to its port.

    Raises:
        CannotListenError: the host is no loopback address (there is no TLS), or the port is taken.
    """
    # Watchers and uploads have threads of their own, so that they never keep other calls waiting.
    threads = settings.rpc_threads + settings.max_watchers + settings.max_uploads + MAX_HEALTH_WATCHERS
    server = grpc.server(
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="rpc"),
        interceptors=[
            CallInterceptor(correlate),
            CallInterceptor(measure(metrics)),
            CallInterceptor(answer_errors),
            CallInterceptor(require_identity),
            DecodingInterceptor(),
        ],
        options=[*_OPTIONS, ("grpc.max_receive_message_length", settings.max_message_bytes)],
        maximum_concurrent_rpcs=threads + settings.rpc_queue,
    )
    watchers = Watchers(settings.max_watchers)
    names = ["", *(service.full_name for service in SERVED)]
    health = Health(names, max_watchers=MAX_HEALTH_WATCHERS)
    _add_services(server, application, clock, watchers, settings.max_uploads)
    add_HealthServicer_to_server(health, server)
    _expect_calls(metrics)
    if settings.reflection:
        reflection.enable_server_reflection([*names[1:], HEALTH_SERVICE, reflection.SERVICE_NAME], server)
    port = _listen(server, settings.host, settings.port)
    return RpcServer(port=port, server=server, health=health, watchers=watchers, drain_seconds=settings.drain_seconds)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _add_services(
    server: grpc.Server, application: Application, clock: Clock, watchers: Watchers, max_uploads: int
) -> None:
    deletion_service_pb2_grpc.add_DeletionServiceServicer_to_server(
        DeletionServicer(application=application, clock=clock, watchers=watchers, max_uploads=max_uploads), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(application=application), server)
    run_service_pb2_grpc.add_RunServiceServicer_to_server(
        RunServicer(application=application, watchers=watchers), server
    )
    hold_service_pb2_grpc.add_HoldServiceServicer_to_server(HoldServicer(application=application), server)
    ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(LedgerServicer(application=application), server)


def _expect_calls(metrics: Metrics) -> None:
    codes = [code.name for code in grpc.StatusCode]
    for service in SERVED:
        for method in service.methods:
            kind = kind_of(request_streaming=method.client_streaming, response_streaming=method.server_streaming)
            metrics.expect_call(kind.value, service.full_name, method.name, codes)


def _listen(server: grpc.Server, host: str, port: int) -> int:
    if not is_loopback(host):
        raise CannotListenError(
            f"{host} is no loopback address: without TLS the service listens on this machine only; "
            "set UNLEARN_HOST to 127.0.0.1"
        )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise CannotListenError(f"cannot listen on {address}: is another server running there?") from error
    if bound == 0:
        raise CannotListenError(f"cannot listen on {address}")
    return bound
