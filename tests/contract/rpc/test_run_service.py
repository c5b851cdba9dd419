"""RunService as callers see it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc

from service.domain.run import ProgressSnapshot, RunAction, RunPhase
from service.pb.unlearning.v1 import run_pb2
from service.pb.unlearning.v1.run_service_pb2 import (
    EscalateRunRequest,
    GetRunRequest,
    ListRunsRequest,
    RetryRunRequest,
    WatchRunRequest,
)
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api
from tests.contract.rpc.records import LINEAGE, NOW, a_run, digest

TIMEOUT_SECONDS = 10.0


def test_a_run_shows_its_ladder_and_every_audited_attempt(api: Api) -> None:
    api.application.runs["run-1"] = a_run(ticket_ids=("tkt-1", "tkt-2"))
    run = api.runs.GetRun(GetRunRequest(run_id="run-1")).run

    assert (run.lineage, run.phase, list(run.ticket_ids)) == (LINEAGE, run_pb2.RUN_PHASE_UNLEARNING, ["tkt-1", "tkt-2"])
    assert list(run.ladder) == [run_pb2.RUNG_KIND_MCU, run_pb2.RUNG_KIND_ANOTHER_POINT, run_pb2.RUNG_KIND_RETRAIN]
    assert (run.rung_index, run.attempt, run.failure_count) == (1, 2, 1)
    (attempt,) = run.audited_attempts
    assert (attempt.rung_kind, attempt.verdict) == (run_pb2.RUNG_KIND_MCU, run_pb2.VERDICT_REJECT)
    assert attempt.report_sha256 == run.report_sha256 == digest("f")
    assert run.spec_sha256 == api.application.runs["run-1"].spec.digest
    assert not run.HasField("close_time")


def test_an_active_run_comes_with_its_progress(api: Api) -> None:
    api.application.runs["run-1"] = a_run()
    api.application.snapshots["run-1"] = ProgressSnapshot(phase="audit", step=1, steps=4)
    progress = api.runs.GetRun(GetRunRequest(run_id="run-1")).progress

    assert (progress.activity, progress.step, progress.step_count) == ("audit", 1, 4)
    assert not progress.HasField("remaining")


def test_a_closed_run_has_no_progress(api: Api) -> None:
    api.application.runs["run-1"] = a_run(phase=RunPhase.FAILED)
    api.application.snapshots["run-1"] = ProgressSnapshot(phase="audit")
    response = api.runs.GetRun(GetRunRequest(run_id="run-1"))

    assert response.run.HasField("close_time")
    assert not response.HasField("progress")


def test_an_unknown_run_is_not_found(api: Api) -> None:
    refusal = refusal_of(lambda: api.runs.GetRun(GetRunRequest(run_id="run-none")))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_RUN")


def test_runs_come_newest_first_page_by_page(api: Api) -> None:
    for number in range(1, 6):
        created = NOW + timedelta(seconds=number)
        api.application.runs[f"run-{number}"] = replace(a_run(f"run-{number}"), created_at=created)
    first = api.runs.ListRuns(ListRunsRequest(page_size=2))
    second = api.runs.ListRuns(ListRunsRequest(page_size=2, page_token=first.next_page_token))
    last = api.runs.ListRuns(ListRunsRequest(page_size=2, page_token=second.next_page_token))

    assert [run.run_id for page in (first, second, last) for run in page.runs] == [f"run-{n}" for n in (5, 4, 3, 2, 1)]
    assert last.next_page_token == ""


def test_runs_are_listed_by_lineage_and_phase_and_never_another_tenants(api: Api) -> None:
    api.application.runs["run-1"] = a_run("run-1", phase=RunPhase.FAILED)
    api.application.runs["run-2"] = a_run("run-2")
    api.application.runs["run-3"] = replace(a_run("run-3", phase=RunPhase.FAILED), tenant="other")

    def listed(**fields: Any) -> list[str]:
        return [run.run_id for run in api.runs.ListRuns(ListRunsRequest(**fields)).runs]

    assert listed(phases=[run_pb2.RUN_PHASE_FAILED]) == ["run-1"]
    assert listed(lineage="another") == []
    assert sorted(listed(lineage=LINEAGE)) == ["run-1", "run-2"]


def test_a_token_of_other_filters_is_refused(api: Api) -> None:
    for number in range(3):
        api.application.runs[f"run-{number}"] = a_run(f"run-{number}")
    token = api.runs.ListRuns(ListRunsRequest(page_size=1)).next_page_token
    request = ListRunsRequest(page_size=1, page_token=token, phases=[run_pb2.RUN_PHASE_FAILED])

    assert refusal_of(lambda: api.runs.ListRuns(request)).fields() == ["page_token"]


def test_an_order_is_carried_out_once_and_says_who_gave_it(api: Api) -> None:
    api.application.runs["run-1"] = a_run(phase=RunPhase.FAILED)
    request = RetryRunRequest(request_id="again", run_id="run-1", reason="disk replaced")
    first, second = api.runs.RetryRun(request).run, api.runs.RetryRun(request).run

    assert first == second
    (order,) = api.application.runs["run-1"].orders
    assert (order.action, order.reason, order.rung_index) == (RunAction.RETRY, "disk replaced", None)
    assert api.application.actors == ["local"]


def test_an_escalation_names_the_rung(api: Api) -> None:
    api.application.runs["run-1"] = a_run()
    request = EscalateRunRequest(request_id="up", run_id="run-1", rung_index=2, reason="time")

    assert api.runs.EscalateRun(request).run.rung_index == 2


def test_an_order_for_a_run_that_has_changed_is_refused_but_a_repeated_one_is_not(api: Api) -> None:
    api.application.runs["run-1"] = a_run(phase=RunPhase.FAILED)
    etag = api.runs.GetRun(GetRunRequest(run_id="run-1")).run.etag
    request = RetryRunRequest(request_id="again", run_id="run-1", reason="disk replaced", etag=etag)
    done = api.runs.RetryRun(request).run
    late = RetryRunRequest(request_id="late", run_id="run-1", reason="disk replaced", etag=etag)

    assert api.runs.RetryRun(request).run == done
    assert refusal_of(lambda: api.runs.RetryRun(late)).reason == "ETAG_MISMATCH"


def test_orders_that_cannot_be_carried_out_are_failed_preconditions(api: Api) -> None:
    api.application.runs["run-1"] = a_run(phase=RunPhase.PUBLISHING)
    retry = refusal_of(lambda: api.runs.RetryRun(RetryRunRequest(request_id="a", run_id="run-1", reason="b")))
    escalation = EscalateRunRequest(request_id="a", run_id="run-1", rung_index=2, reason="b")
    climb = refusal_of(lambda: api.runs.EscalateRun(escalation))

    assert (retry.code, retry.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_RETRYABLE")
    assert (climb.code, climb.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ESCALATABLE")


def test_a_request_id_belongs_to_one_order(api: Api) -> None:
    api.application.runs["run-1"] = a_run(phase=RunPhase.FAILED)
    api.runs.RetryRun(RetryRunRequest(request_id="a", run_id="run-1", reason="b"))
    other = RetryRunRequest(request_id="a", run_id="run-1", reason="c")

    assert refusal_of(lambda: api.runs.RetryRun(other)).reason == "REQUEST_ID_REUSED"


def test_every_wrong_field_of_an_order_is_named(api: Api) -> None:
    request = EscalateRunRequest(run_id="run-1", reason="x" * 1001)

    assert refusal_of(lambda: api.runs.EscalateRun(request)).fields() == ["request_id", "reason", "rung_index"]


def test_a_watch_sends_a_run_whenever_it_changes_until_it_is_closed(api: Api) -> None:
    run = a_run()
    api.application.runs["run-1"] = run
    watch = api.runs.WatchRun(WatchRunRequest(run_id="run-1"), timeout=TIMEOUT_SECONDS)
    before = next(watch)
    api.application.snapshots["run-1"] = ProgressSnapshot(
        phase="curve", epoch=3, epochs=10, step=40, steps=100, seconds=12.5, seconds_left=30.0
    )
    after = next(watch)
    api.application.runs["run-1"] = replace(run, phase=RunPhase.COMMITTED, closed_at=NOW, version=4)
    (last,) = watch

    assert (before.run.phase, before.progress.activity) == (run_pb2.RUN_PHASE_UNLEARNING, "")
    progress = after.progress
    assert (progress.activity, progress.epoch, progress.epoch_count, progress.step) == ("curve", 3, 10, 40)
    assert (progress.step_count, progress.remaining.seconds) == (100, 30)
    assert last.run.phase == run_pb2.RUN_PHASE_COMMITTED
    assert not last.HasField("progress")


def test_those_who_watch_runs_and_tickets_share_the_places(api: Api) -> None:
    api.application.runs["run-1"] = a_run()
    watches = [api.runs.WatchRun(WatchRunRequest(run_id="run-1"), timeout=TIMEOUT_SECONDS) for _ in range(2)]
    for watch in watches:
        next(watch)
    refusal = refusal_of(lambda: list(api.runs.WatchRun(WatchRunRequest(run_id="run-1"), timeout=TIMEOUT_SECONDS)))

    assert refusal.reason == "SERVER_OVERLOADED"


def test_watching_an_unknown_run_is_not_found(api: Api) -> None:
    refusal = refusal_of(lambda: list(api.runs.WatchRun(WatchRunRequest(run_id="run-none"))))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_RUN")
