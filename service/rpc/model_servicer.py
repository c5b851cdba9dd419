"""ModelService."""
# ruff: noqa: ARG002, N802 - names and signatures are the contract's

import grpc

from service.pb.unlearning.v1.model_service_pb2 import (
    GetModelRequest,
    GetModelResponse,
    GetReportRequest,
    GetReportResponse,
    ListReleasesRequest,
    ListReleasesResponse,
    RegisterModelRequest,
    RegisterModelResponse,
)
from service.pb.unlearning.v1.model_service_pb2_grpc import ModelServiceServicer
from service.rpc.application import Application
from service.rpc.convert import requests, responses
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

    def GetReport(self, request: GetReportRequest, context: grpc.ServicerContext) -> GetReportResponse:
        """Return a run's report."""
        run_id = requests.run_id(request.run_id)
        suffix = requests.report_suffix(request)
        content = self._application.get_report(run_id, tenant=current_identity().tenant, suffix=suffix)
        return responses.report(content, suffix, self._application.report_location(run_id, suffix=suffix))
