"""RunService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

import grpc

from service.pb.unlearning.v1.run_service_pb2 import GetRunRequest, GetRunResponse
from service.pb.unlearning.v1.run_service_pb2_grpc import RunServiceServicer
from service.rpc.application import Application
from service.rpc.convert import requests, responses
from service.rpc.identity import current_identity


class RunServicer(RunServiceServicer):
    """Knows the unlearning runs."""

    def __init__(self, *, application: Application) -> None:
        self._application = application

    def GetRun(self, request: GetRunRequest, context: grpc.ServicerContext) -> GetRunResponse:
        """Return a run and how far its present attempt is."""
        run = self._application.get_run(requests.run_id(request.run_id), tenant=current_identity().tenant)
        snapshot = self._application.progress(run.run_id) if run.is_active else None
        return GetRunResponse(run=responses.run(run), progress=responses.progress(run, snapshot))
