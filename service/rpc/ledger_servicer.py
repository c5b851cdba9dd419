"""LedgerService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

import grpc

from service.pb.unlearning.v1.ledger_service_pb2 import (
    GetCheckpointRequest,
    GetCheckpointResponse,
    ListEntriesRequest,
    ListEntriesResponse,
)
from service.pb.unlearning.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from service.rpc.application import Application
from service.rpc.convert import ledger


class LedgerServicer(LedgerServiceServicer):
    """Reads the ledger."""

    def __init__(self, *, application: Application) -> None:
        self._application = application

    def ListEntries(self, request: ListEntriesRequest, context: grpc.ServicerContext) -> ListEntriesResponse:
        """Return a page of entries."""
        query = ledger.ledger_query(request)
        return ledger.entry_page(self._application.list_entries(query), query)

    def GetCheckpoint(self, request: GetCheckpointRequest, context: grpc.ServicerContext) -> GetCheckpointResponse:
        """Return a signed head of the chain."""
        record = self._application.get_checkpoint(ledger.checkpoint_number(request))
        return GetCheckpointResponse(checkpoint=ledger.checkpoint(record))
