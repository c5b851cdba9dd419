"""RunService as callers see it."""

import grpc

from service.domain.run import ProgressSnapshot, RunPhase
from service.pb.unlearning.v1 import run_pb2
from service.pb.unlearning.v1.run_service_pb2 import GetRunRequest
from tests.contract.rpc.answers import refusal_of
from tests.contract.rpc.conftest import Api
from tests.contract.rpc.records import LINEAGE, a_run, digest


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
