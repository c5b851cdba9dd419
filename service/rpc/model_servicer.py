"""ModelService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

import grpc

from service.pb.unlearning.v1.model_service_pb2 import (
    AcknowledgeDeploymentRequest,
    AcknowledgeDeploymentResponse,
    CheckLineageRequest,
    CheckLineageResponse,
    GetModelRequest,
    GetModelResponse,
    GetReleaseRequest,
    GetReleaseResponse,
    GetReportRequest,
    GetReportResponse,
    ListReleasesRequest,
    ListReleasesResponse,
    RegisterModelRequest,
    RegisterModelResponse,
)
from service.pb.unlearning.v1.model_service_pb2_grpc import ModelServiceServicer
from service.rpc.application import Application
from service.rpc.convert import release_requests, release_responses, requests, responses
from service.rpc.identity import current_identity


class ModelServicer(ModelServiceServicer):
    """Knows the models, their releases and their reports."""

    def __init__(self, *, application: Application) -> None:
        self._application = application

    def RegisterModel(self, request: RegisterModelRequest, context: grpc.ServicerContext) -> RegisterModelResponse:
        """Register a lineage."""
        caller = current_identity()
        registration = requests.registration(request)
        model = self._application.register_model(registration, tenant=caller.tenant, actor=caller.actor)
        return RegisterModelResponse(model=responses.model(model))

    def GetModel(self, request: GetModelRequest, context: grpc.ServicerContext) -> GetModelResponse:
        """Return a lineage."""
        lineage = requests.lineage(request.lineage)
        model = self._application.get_model(lineage, tenant=current_identity().tenant)
        return GetModelResponse(model=responses.model(model))

    def ListReleases(self, request: ListReleasesRequest, context: grpc.ServicerContext) -> ListReleasesResponse:
        """Return a page of a lineage's releases."""
        tenant = current_identity().tenant
        size, after = requests.releases_after(request, tenant=tenant)
        found = self._application.list_releases(request.lineage, tenant=tenant)
        locate = self._application.release_location
        return responses.release_page(found, size=size, after=after, tenant=tenant, locate=locate)

    def GetRelease(self, request: GetReleaseRequest, context: grpc.ServicerContext) -> GetReleaseResponse:
        """Return a release and what became of it."""
        lineage, number = release_requests.release(request)
        found = self._application.get_release(lineage, number, tenant=current_identity().tenant)
        return release_responses.release_details(found, self._application.release_location(found.release))

    def AcknowledgeDeployment(
        self, request: AcknowledgeDeploymentRequest, context: grpc.ServicerContext
    ) -> AcknowledgeDeploymentResponse:
        """Record what a serving system runs."""
        caller, notice = current_identity(), release_requests.deployment_notice(request)
        release, deployment = self._application.acknowledge_deployment(
            request.lineage, notice, tenant=caller.tenant, actor=caller.actor
        )
        return AcknowledgeDeploymentResponse(
            release=responses.release(release, self._application.release_location(release)),
            closed_ticket_ids=deployment.closed_ticket_ids,
        )

    def CheckLineage(self, request: CheckLineageRequest, context: grpc.ServicerContext) -> CheckLineageResponse:
        """Say whether weights may serve."""
        number, digest = release_requests.serving_subject(request)
        tenant = current_identity().tenant
        model, answer = self._application.check_lineage(
            request.lineage, tenant=tenant, number=number, weights_digest=digest
        )
        return release_responses.serving_answer(answer, model)

    def GetReport(self, request: GetReportRequest, context: grpc.ServicerContext) -> GetReportResponse:
        """Return a run's report."""
        run_id = requests.run_id(request.run_id)
        suffix = requests.report_suffix(request)
        content = self._application.get_report(run_id, tenant=current_identity().tenant, suffix=suffix)
        return responses.report(content, suffix, self._application.report_location(run_id, suffix=suffix))
