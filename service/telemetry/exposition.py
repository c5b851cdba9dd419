"""`/metrics` over HTTP."""

from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsServer:
    """A running metrics server.

    Attributes:
        port: on which it listens, also where 0 was asked for.
    """

    port: int
    server: WSGIServer
    thread: Thread

    def close(self) -> None:
        """Answer no more, and give the port back."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> MetricsServer:
    """Serve a registry's metrics in a thread of its own.

    Args:
        registry: what to serve.
        host: address to listen on; the caller has checked that it may.
        port: 0 takes a free one.

    Raises:
        OSError: the address is taken or not of this machine.
    """
    server, thread = start_http_server(port, addr=host, registry=registry)
    return MetricsServer(port=server.server_port, server=server, thread=thread)
