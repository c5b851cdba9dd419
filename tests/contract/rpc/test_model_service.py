"""ModelService as callers see it."""

import hashlib
import math
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2  # type: ignore[import-untyped] # it ships stubs, but no py.typed

from service.domain.canary import CanaryRegister
from service.domain.ticket import TicketEvent
from service.pb.unlearning.v1 import model_pb2, model_service_pb2
from service.pb.unlearning.v1.model_service_pb2 import (
    AcknowledgeDeploymentRequest,
    CheckLineageRequest,
    GetModelRequest,
    GetReleaseRequest,
    GetReportRequest,
    ListReleasesRequest,
    RegisterModelRequest,
)
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api, submission
from tests.contract.rpc.records import ARCHITECTURE, LINEAGE, NOW, RECIPE, a_release, a_run, digest


def _registration(lineage: str = "faces") -> RegisterModelRequest:
    return RegisterModelRequest(
        request_id="request-1",
        lineage=lineage,
        architecture=model_pb2.Architecture(
            name="preresnet20", classes=10, channels=1, image_size=8, mean=[0.3], std=[0.4]
        ),
        weights_sha256=digest("2"),
        manifest_sha256=digest("3"),
        recipe=model_pb2.TrainingRecipe(epochs=30, learning_rate=0.1, stop_at_train_accuracy=0.99),
        baseline_train_accuracy=0.97,
    )


def test_a_registered_model_is_returned_whole(api: Api) -> None:
    model = api.models.RegisterModel(_registration()).model

    assert model == api.models.GetModel(GetModelRequest(lineage="faces")).model
    assert (model.lineage, model.weights_sha256, model.manifest.sha256) == ("faces", digest("2"), digest("3"))
    assert model.baseline_train_accuracy == pytest.approx(0.97)
    assert model.current_release_number == 1
    assert api.application.actors == ["local"]


def test_architecture_and_recipe_arrive_as_they_were_sent(api: Api) -> None:
    api.models.RegisterModel(_registration())
    stored = api.application.models["faces"]

    assert stored.architecture == ARCHITECTURE
    assert stored.recipe == RECIPE


def test_a_recipe_is_optional(api: Api) -> None:
    request = _registration()
    request.ClearField("recipe")
    request.ClearField("baseline_train_accuracy")
    model = api.models.RegisterModel(request).model

    assert not model.HasField("recipe")
    assert not model.HasField("baseline_train_accuracy")


def test_zeros_that_were_sent_are_not_taken_for_absent(api: Api) -> None:
    request = _registration()
    request.recipe.momentum = 0.0
    request.recipe.weight_decay = 0.0
    request.baseline_train_accuracy = 0.0
    model = api.models.RegisterModel(request).model

    assert (model.recipe.momentum, model.recipe.weight_decay) == (0.0, 0.0)
    assert model.HasField("baseline_train_accuracy")


def test_registering_twice_is_registering_once(api: Api) -> None:
    assert api.models.RegisterModel(_registration()) == api.models.RegisterModel(_registration())


REGISTER = CanaryRegister(key=bytes(range(32)), sample_ids=("canary-1", "canary-2"), mislabelled=True)


def _register(**changes: object) -> model_service_pb2.CanaryRegister:
    values = {
        "key": REGISTER.key,
        "sample_ids": REGISTER.sample_ids,
        "commitment": REGISTER.commitment,
        "mislabelled": True,
    }
    return model_service_pb2.CanaryRegister(**(values | changes))  # type: ignore[arg-type]  # values are the test's


def test_canaries_arrive_as_they_were_sent_and_are_answered_by_their_commitment_alone(api: Api) -> None:
    request = _registration()
    request.canaries.CopyFrom(_register())
    model = api.models.RegisterModel(request).model

    assert api.application.registrations[-1].canaries == REGISTER
    assert model.canary_commitment == REGISTER.commitment
    assert b"canary-1" not in model.SerializeToString()
    assert REGISTER.key not in model.SerializeToString()


def test_without_canaries_there_is_no_commitment(api: Api) -> None:
    assert api.models.RegisterModel(_registration()).model.canary_commitment == ""


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"key": bytes(31)}, "canaries"),
        ({"key": b""}, "canaries"),
        ({"sample_ids": ()}, "canaries"),
        ({"sample_ids": ("canary-2", "canary-1")}, "canaries"),
        ({"sample_ids": ("canary-1", "canary-1")}, "canaries"),
        ({"sample_ids": ("canary-1", "")}, "canaries.sample_ids[1]"),
        ({"sample_ids": ("canary-1", "canary-3")}, "canaries.commitment"),
        ({"mislabelled": False}, "canaries.commitment"),
        ({"commitment": ""}, "canaries.commitment"),
    ],
)
def test_a_register_that_was_changed_is_refused_and_not_quoted(
    api: Api, changes: dict[str, object], field: str
) -> None:
    request = _registration()
    request.canaries.CopyFrom(_register(**changes))
    refusal = refusal_of(lambda: api.models.RegisterModel(request))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields() == [field]
    assert "canary-" not in str(refusal)


def test_a_taken_lineage_is_refused(api: Api) -> None:
    refusal = refusal_of(lambda: api.models.RegisterModel(_registration(LINEAGE)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "LINEAGE_EXISTS")


def test_missing_weights_are_a_failed_precondition(api: Api) -> None:
    request = _registration()
    request.weights_sha256 = digest("0")
    refusal = refusal_of(lambda: api.models.RegisterModel(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OBJECT_MISSING")
    (precondition,) = refusal.all_of(error_details_pb2.PreconditionFailure)
    assert precondition.violations[0].subject == f"weights/{digest('0')}.safetensors"


def test_every_wrong_field_of_a_registration_is_named(api: Api) -> None:
    request = _registration("UPPER")
    request.architecture.classes = 1
    request.architecture.mean.append(0.5)
    request.weights_sha256 = "abc"
    request.recipe.epochs = 0
    request.recipe.schedule = 77  # type: ignore[assignment] # on purpose
    request.recipe.stop_at_train_accuracy = 1.5
    request.baseline_train_accuracy = math.nan
    refusal = refusal_of(lambda: api.models.RegisterModel(request))

    assert refusal.fields() == [
        "lineage",
        "weights_sha256",
        "baseline_train_accuracy",
        "architecture.classes",
        "recipe.epochs",
        "recipe.schedule",
        "recipe.stop_at_train_accuracy",
    ]


def test_statistics_must_match_the_channels(api: Api) -> None:
    request = _registration()
    request.architecture.mean.append(0.5)
    refusal = refusal_of(lambda: api.models.RegisterModel(request))

    assert refusal.fields() == ["architecture"]


def test_an_unknown_lineage_is_not_found(api: Api) -> None:
    refusals = [
        refusal_of(lambda: api.models.GetModel(GetModelRequest(lineage="another"))),
        refusal_of(lambda: api.models.ListReleases(ListReleasesRequest(lineage="another"))),
    ]

    assert [refusal.reason for refusal in refusals] == ["UNKNOWN_LINEAGE", "UNKNOWN_LINEAGE"]


def test_releases_come_newest_first_page_by_page(api: Api) -> None:
    api.application.releases[LINEAGE] = [a_release(number) for number in range(1, 6)]
    numbers: list[int] = []
    token = ""
    while True:
        page = api.models.ListReleases(ListReleasesRequest(lineage=LINEAGE, page_size=2, page_token=token))
        numbers += [release.release_number for release in page.releases]
        token = page.next_page_token
        if not token:
            break

    assert numbers == [5, 4, 3, 2, 1]


def test_a_release_says_what_made_it_and_where_it_lies(api: Api) -> None:
    api.application.releases[LINEAGE].append(a_release(2))
    newest, first = api.models.ListReleases(ListReleasesRequest(lineage=LINEAGE)).releases

    assert (newest.run_id, list(newest.ticket_ids), newest.report_sha256) == ("run-2", ["tkt-2"], digest("d"))
    assert newest.location == f"memory://{LINEAGE}/2"
    assert (first.run_id, first.report_sha256) == ("", "")


def test_a_token_of_another_lineage_is_refused(api: Api) -> None:
    api.models.RegisterModel(_registration())
    api.application.releases[LINEAGE].append(a_release(2))
    token = api.models.ListReleases(ListReleasesRequest(lineage=LINEAGE, page_size=1)).next_page_token
    request = ListReleasesRequest(lineage="faces", page_size=1, page_token=token)

    assert refusal_of(lambda: api.models.ListReleases(request)).fields() == ["page_token"]


@pytest.mark.parametrize(
    ("asked", "suffix", "answered"),
    [
        (model_service_pb2.REPORT_FORMAT_UNSPECIFIED, "json", model_service_pb2.REPORT_FORMAT_JSON),
        (model_service_pb2.REPORT_FORMAT_JSON, "json", model_service_pb2.REPORT_FORMAT_JSON),
        (model_service_pb2.REPORT_FORMAT_HTML, "html", model_service_pb2.REPORT_FORMAT_HTML),
    ],
)
def test_a_report_comes_with_its_digest(
    api: Api,
    asked: model_service_pb2.ReportFormat.ValueType,
    suffix: str,
    answered: model_service_pb2.ReportFormat.ValueType,
) -> None:
    api.application.runs["run-1"] = a_run()
    api.application.reports = {("run-1", "json"): b"{}", ("run-1", "html"): b"<html>"}
    report = api.models.GetReport(GetReportRequest(run_id="run-1", format=asked))

    assert report.content == api.application.reports["run-1", suffix]
    assert report.sha256 == hashlib.sha256(report.content).hexdigest()
    assert (report.format, report.location) == (answered, f"memory://run-1/report.{suffix}")


def test_a_run_without_a_report_says_so(api: Api) -> None:
    api.application.runs["run-1"] = a_run()
    refusal = refusal_of(lambda: api.models.GetReport(GetReportRequest(run_id="run-1")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_REPORT")


def test_an_unknown_form_of_report_is_refused(api: Api) -> None:
    request = GetReportRequest(run_id="run-1", format=9)  # type: ignore[arg-type] # on purpose

    assert refusal_of(lambda: api.models.GetReport(request)).fields() == ["format"]


# Serving


def _superseded(api: Api) -> None:
    api.application.models[LINEAGE] = replace(api.application.models[LINEAGE], current_release=2)
    api.application.releases[LINEAGE].append(a_release(2))


def test_whether_acknowledgement_is_required_arrives_as_it_was_sent(api: Api) -> None:
    request = _registration()
    request.require_acknowledgement = True

    assert api.models.RegisterModel(request).model.require_acknowledgement
    assert not api.models.GetModel(GetModelRequest(lineage=LINEAGE)).model.require_acknowledgement


def test_a_release_is_told_with_its_purge_and_0_means_the_current_one(api: Api) -> None:
    _superseded(api)
    old = api.models.GetRelease(GetReleaseRequest(lineage=LINEAGE, release_number=1))
    current = api.models.GetRelease(GetReleaseRequest(lineage=LINEAGE))

    assert (old.release.release_number, old.is_current, old.HasField("purge_time")) == (1, False, True)
    assert (current.release.release_number, current.is_current, current.attestation) == (2, True, b"signed")
    assert not current.HasField("purge_time")


@pytest.mark.parametrize(("number", "reason"), [(7, "UNKNOWN_RELEASE"), (-1, "INVALID_REQUEST")])
def test_a_release_that_cannot_be_is_refused(api: Api, number: int, reason: str) -> None:
    request = GetReleaseRequest(lineage=LINEAGE, release_number=number)

    assert refusal_of(lambda: api.models.GetRelease(request)).reason == reason


def _notice(weights: str, **fields: Any) -> AcknowledgeDeploymentRequest:
    since = Timestamp()
    since.FromDatetime(NOW)
    given: dict[str, Any] = {
        "request_id": "deploy-1",
        "lineage": LINEAGE,
        "weights_sha256": weights,
        "deployment": "eu",
        "deploy_time": since,
    }
    return AcknowledgeDeploymentRequest(**(given | fields))


def test_an_acknowledgement_says_which_release_that_is_and_which_tickets_it_closed(api: Api) -> None:
    _superseded(api)
    ticket = api.deletion.SubmitTicket(submission()).ticket
    stored = api.application.tickets[ticket.ticket_id]
    api.application.change(stored, TicketEvent.SCHEDULE, TicketEvent.START, TicketEvent.PUBLISH)
    response = api.models.AcknowledgeDeployment(_notice(digest("c")))

    assert (response.release.release_number, list(response.closed_ticket_ids)) == (2, [ticket.ticket_id])
    assert api.application.actors[-1] == "local"


def test_a_superseded_and_an_unknown_digest_are_refused(api: Api) -> None:
    _superseded(api)
    old = refusal_of(lambda: api.models.AcknowledgeDeployment(_notice(digest("b"))))
    unknown = refusal_of(lambda: api.models.AcknowledgeDeployment(_notice(digest("9"))))

    assert (old.code, old.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESURRECTS_FORGOTTEN_SAMPLES")
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_WEIGHTS")


def test_every_wrong_field_of_an_acknowledgement_is_named(api: Api) -> None:
    request = _notice("x", request_id="", deployment="", deploy_time=Timestamp(seconds=2**60))
    refusal = refusal_of(lambda: api.models.AcknowledgeDeployment(request))

    assert refusal.fields() == ["request_id", "weights_sha256", "deployment", "deploy_time"]


@pytest.mark.parametrize(
    ("subject", "decision", "count"),
    [
        ({"release_number": 2}, model_service_pb2.SERVING_DECISION_ALLOWED, 0),
        ({"weights_sha256": digest("c")}, model_service_pb2.SERVING_DECISION_ALLOWED, 0),
        ({"release_number": 1}, model_service_pb2.SERVING_DECISION_RESURRECTS_FORGOTTEN_SAMPLES, 1),
        ({"weights_sha256": digest("b")}, model_service_pb2.SERVING_DECISION_RESURRECTS_FORGOTTEN_SAMPLES, 1),
        ({"weights_sha256": digest("9")}, model_service_pb2.SERVING_DECISION_UNKNOWN_WEIGHTS, 0),
    ],
)
def test_weights_are_judged_by_what_their_lineage_has_forgotten(
    api: Api, subject: dict[str, Any], decision: int, count: int
) -> None:
    _superseded(api)
    answer = api.models.CheckLineage(CheckLineageRequest(lineage=LINEAGE, **subject))

    assert (answer.decision, answer.resurrected_sample_count, answer.current_release_number) == (decision, count, 2)
    assert answer.text


@pytest.mark.parametrize("subject", [{}, {"release_number": 0}, {"weights_sha256": "abc"}])
def test_a_question_about_nothing_is_refused(api: Api, subject: dict[str, Any]) -> None:
    request = CheckLineageRequest(lineage=LINEAGE, **subject)

    assert refusal_of(lambda: api.models.CheckLineage(request)).reason == "INVALID_REQUEST"
