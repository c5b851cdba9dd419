"""grpc.health.v1: whether each service can be called.

grpcio-health-checking has the messages; its servicer is not used: its `set` sends to all watchers while it holds a lock
that gRPC's own thread needs when a watcher leaves, so that one who leaves during a drain stops the server for ever.
"""
# ruff: noqa: N802 - names and signatures are the contract's

from collections.abc import Iterable, Iterator

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from service.rpc.watchers import Watchers

WATCH_POLL_SECONDS = 0.25
"""How late a watcher may learn of a change, but for a drain, of which it learns at once."""


class Health(HealthServicer):
    """Knows which services can be called; the empty name is the server as a whole."""

    def __init__(self, known: Iterable[str], *, max_watchers: int) -> None:
        self._known = frozenset(known)
        self._serving: frozenset[str] = frozenset()
        self._watchers = Watchers(max_watchers)

    def serve(self, services: Iterable[str]) -> None:
        """Say that these services, and no others, can be called."""
        self._serving = frozenset(services)

    def drain(self) -> None:
        """Say that nothing can be called any more, to watchers as their last word."""
        self.serve(())
        self._watchers.drain()

    def Check(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> HealthCheckResponse:
        """Return a service's state."""
        if request.service not in self._known:
            context.abort(grpc.StatusCode.NOT_FOUND, "no service of this name is known")
        return self._state(request.service)

    def Watch(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> Iterator[HealthCheckResponse]:
        """Send a service's state whenever it has changed."""
        sent: HealthCheckResponse | None = None
        with self._watchers.place(context) as end:
            has_ended = False
            while True:
                state = self._state(request.service)
                if state != sent:
                    yield state
                    sent = state
                if has_ended:
                    return
                has_ended = end.wait(WATCH_POLL_SECONDS)

    def _state(self, service: str) -> HealthCheckResponse:
        if service not in self._known:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        is_serving = service in self._serving
        return HealthCheckResponse(
            status=HealthCheckResponse.SERVING if is_serving else HealthCheckResponse.NOT_SERVING
        )
