"""A real server on loopback with an application in memory behind it."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from prometheus_client import CollectorRegistry

from service.adapters.memory import FrozenClock
from service.pb.unlearning.v1.deletion_service_pb2 import SubmitTicketRequest
from service.pb.unlearning.v1.deletion_service_pb2_grpc import DeletionServiceStub
from service.pb.unlearning.v1.hold_service_pb2_grpc import HoldServiceStub
from service.pb.unlearning.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.pb.unlearning.v1.model_service_pb2_grpc import ModelServiceStub
from service.pb.unlearning.v1.run_service_pb2_grpc import RunServiceStub
from service.pb.unlearning.v1.sample_selection_pb2 import SampleIds, SampleSelection
from service.pb.unlearning.v1.ticket_pb2 import REGIME_GDPR
from service.rpc.server import RpcServer, build_server
from service.settings import Settings
from service.telemetry import Metrics
from tests.contract.rpc.memory_application import MemoryApplication
from tests.contract.rpc.records import LINEAGE, NOW, a_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A caller's side, and the hands of whoever stands behind the server."""

    application: MemoryApplication
    clock: FrozenClock
    registry: CollectorRegistry
    server: RpcServer
    channel: grpc.Channel

    @property
    def deletion(self) -> DeletionServiceStub:
        return DeletionServiceStub(self.channel)

    @property
    def holds(self) -> HoldServiceStub:
        return HoldServiceStub(self.channel)

    @property
    def models(self) -> ModelServiceStub:
        return ModelServiceStub(self.channel)

    @property
    def runs(self) -> RunServiceStub:
        return RunServiceStub(self.channel)

    @property
    def ledger(self) -> LedgerServiceStub:
        return LedgerServiceStub(self.channel)


def submission(request_id: str = "request-1", *sample_ids: str, validate_only: bool = False) -> SubmitTicketRequest:
    inline = SampleIds(sample_ids=sample_ids or ("sample-1", "sample-2"))
    return SubmitTicketRequest(
        request_id=request_id,
        lineage=LINEAGE,
        samples=SampleSelection(inline=inline),
        regime=REGIME_GDPR,
        validate_only=validate_only,
    )


@pytest.fixture
def settings() -> Settings:
    return Settings(
        host="127.0.0.1",
        port=0,
        rpc_threads=2,
        rpc_queue=2,
        max_watchers=2,
        max_uploads=2,
        max_message_bytes=4 * 2**20,
        drain_seconds=2.0,
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    clock = FrozenClock(NOW)
    application = MemoryApplication(clock)
    application.add_model(a_model())
    registry = CollectorRegistry()
    server = build_server(application, settings, Metrics(registry), clock)
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Api(application=application, clock=clock, registry=registry, server=server, channel=channel)
    application.gate.set()
    server.drain()
