"""RunService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

from collections.abc import Iterator

import grpc

from service.domain.run import UnlearningRun
from service.pb.unlearning.v1.run_pb2 import RunProgress
from service.pb.unlearning.v1.run_service_pb2 import (
    EscalateRunRequest,
    EscalateRunResponse,
    GetRunRequest,
    GetRunResponse,
    ListRunsRequest,
    ListRunsResponse,
    RetryRunRequest,
    RetryRunResponse,
    WatchRunRequest,
    WatchRunResponse,
)
from service.pb.unlearning.v1.run_service_pb2_grpc import RunServiceServicer
from service.rpc.application import Application
from service.rpc.convert import requests, responses, run_requests
from service.rpc.errors import EtagMismatchError
from service.rpc.identity import current_identity
from service.rpc.watchers import Watchers


class RunServicer(RunServiceServicer):
    """Knows the unlearning runs, and takes the orders of operators about them."""

    def __init__(self, *, application: Application, watchers: Watchers) -> None:
        self._application = application
        self._watchers = watchers

    def GetRun(self, request: GetRunRequest, context: grpc.ServicerContext) -> GetRunResponse:
        """Return a run and how far its present attempt is."""
        run = self._run(request.run_id)
        return GetRunResponse(run=responses.run(run), progress=self._progress(run))

    def ListRuns(self, request: ListRunsRequest, context: grpc.ServicerContext) -> ListRunsResponse:
        """Return a page of runs."""
        query = run_requests.run_query(request, tenant=current_identity().tenant)
        return responses.run_page(self._application.list_runs(query), query)

    def RetryRun(self, request: RetryRunRequest, context: grpc.ServicerContext) -> RetryRunResponse:
        """Have a failed run's tickets scheduled again."""
        caller, order = current_identity(), run_requests.retry(request)
        run = self._application.retry_run(
            request.run_id,
            order,
            tenant=caller.tenant,
            actor=caller.actor,
            expected_version=self._expected_version(request),
        )
        return RetryRunResponse(run=responses.run(run))

    def EscalateRun(self, request: EscalateRunRequest, context: grpc.ServicerContext) -> EscalateRunResponse:
        """Move a run up its ladder."""
        caller, order = current_identity(), run_requests.escalation(request)
        run = self._application.escalate_run(
            request.run_id,
            order,
            tenant=caller.tenant,
            actor=caller.actor,
            expected_version=self._expected_version(request),
        )
        return EscalateRunResponse(run=responses.run(run))

    def WatchRun(self, request: WatchRunRequest, context: grpc.ServicerContext) -> Iterator[WatchRunResponse]:
        """Send a run and its progress whenever one of them has changed."""
        tenant = current_identity().tenant
        run_id = requests.run_id(request.run_id)

        def look() -> tuple[WatchRunResponse, bool]:
            run = self._application.get_run(run_id, tenant=tenant)
            return WatchRunResponse(run=responses.run(run), progress=self._progress(run)), not run.is_active

        return self._watchers.follow(context, look)

    def _run(self, run_id: str) -> UnlearningRun:
        return self._application.get_run(requests.run_id(run_id), tenant=current_identity().tenant)

    def _progress(self, run: UnlearningRun) -> RunProgress | None:
        return responses.progress(run, self._application.progress(run.run_id) if run.is_active else None)

    def _expected_version(self, request: RetryRunRequest | EscalateRunRequest) -> int | None:
        """Return which version the caller has read; an order that was carried out already needs none."""
        if not request.etag:
            return None
        run = self._run(request.run_id)
        if any(order.request_id == request.request_id for order in run.orders):
            return None
        if responses.run_etag(run) != request.etag:
            raise EtagMismatchError("the run changed since it was read: read it again", run_id=run.run_id)
        return run.version
