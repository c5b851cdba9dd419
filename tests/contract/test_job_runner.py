"""What every job runner promises: threads of this process, and processes of this machine."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.adapters.local_jobs import LocalJobRunner
from service.adapters.memory import InProcessJobRunner
from service.ports import JobRunner, JobState, JobStatus

DEADLINE_SECONDS = 30.0

JOB = """
import pathlib, sys, time
folder, order = pathlib.Path(sys.argv[1]), sys.argv[2]
with (folder / "started").open("a") as file:
    file.write(order + "\\n")
kind, _, value = order.partition("/")
if kind == "sleep":
    time.sleep(float(value))
if kind == "fail":
    raise SystemError("lost") if value == "lost" else SystemExit(int(value))
"""
"""Does what the key of its order says, and notes that it was started."""


def _run_here(folder: Path) -> Callable[[str], int]:
    def run(order: str) -> int:
        with (folder / "started").open("a") as file:
            file.write(order + "\n")
        kind, _, value = order.partition("/")
        if kind == "sleep":
            time.sleep(min(float(value), 1.0))
        return int(value) if kind == "fail" else 0

    return run


@pytest.fixture(params=["in-process", "local"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> JobRunner:
    if request.param == "in-process":
        return InProcessJobRunner(_run_here(tmp_path))
    return LocalJobRunner(tmp_path / "jobs", [sys.executable, "-c", JOB, str(tmp_path)], dict(os.environ))


def wait_for_end(runner: JobRunner, name: str) -> JobStatus:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (status := runner.observe(name)).state is JobState.RUNNING:
        assert time.monotonic() < deadline, "the job does not end"
        time.sleep(0.02)
    return status


def started(folder: Path) -> list[str]:
    return (folder / "started").read_text().splitlines()


def test_a_job_that_was_never_started_is_absent(runner: JobRunner) -> None:
    assert runner.observe("run-1") == JobStatus(state=JobState.ABSENT)


def test_a_started_job_is_seen_at_once(runner: JobRunner) -> None:
    runner.start("run-1", "sleep/0.5")

    assert runner.observe("run-1").state is JobState.RUNNING
    wait_for_end(runner, "run-1")


def test_a_job_gets_its_order_and_ends_with_code_0(runner: JobRunner, tmp_path: Path) -> None:
    runner.start("run-1", "runs/run-1/order.json")

    assert wait_for_end(runner, "run-1") == JobStatus(state=JobState.ENDED, exit_code=0)
    assert started(tmp_path) == ["runs/run-1/order.json"]


@pytest.mark.parametrize("code", [1, 10, 30, 127])
def test_the_exit_code_is_told(runner: JobRunner, code: int) -> None:
    runner.start("run-1", f"fail/{code}")

    assert wait_for_end(runner, "run-1") == JobStatus(state=JobState.ENDED, exit_code=code)


def test_a_job_of_one_name_runs_once_whatever_asks_for_it(runner: JobRunner, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: runner.start("run-1", "sleep/0.1"), range(8)))
    wait_for_end(runner, "run-1")
    runner.start("run-1", "sleep/0.1")

    assert wait_for_end(runner, "run-1").state is JobState.ENDED
    assert started(tmp_path) == ["sleep/0.1"]


def test_jobs_of_other_names_are_other_jobs(runner: JobRunner) -> None:
    runner.start("run-1", "fail/1")
    runner.start("run-2", "fail/2")

    assert wait_for_end(runner, "run-1").exit_code == 1
    assert wait_for_end(runner, "run-2").exit_code == 2


def test_a_cancelled_job_is_gone_when_cancel_returns(runner: JobRunner) -> None:
    runner.start("run-1", "sleep/60")
    before = time.monotonic()

    runner.cancel("run-1")

    assert runner.observe("run-1").state in {JobState.ENDED, JobState.LOST}
    assert time.monotonic() - before < DEADLINE_SECONDS


def test_cancelling_what_does_not_run_is_no_error(runner: JobRunner) -> None:
    runner.cancel("never")
    runner.start("run-1", "fail/3")
    status = wait_for_end(runner, "run-1")

    runner.cancel("run-1")

    assert runner.observe("run-1") == status
    assert runner.observe("never").state is JobState.ABSENT


def test_a_forgotten_job_is_absent_and_can_run_again(runner: JobRunner, tmp_path: Path) -> None:
    runner.start("run-1", "fail/3")
    wait_for_end(runner, "run-1")

    runner.forget("run-1")
    runner.forget("run-1")

    assert runner.observe("run-1").state is JobState.ABSENT
    runner.start("run-1", "fail/4")
    assert wait_for_end(runner, "run-1").exit_code == 4


def test_a_running_job_is_not_forgotten(runner: JobRunner) -> None:
    runner.start("run-1", "sleep/0.5")

    with pytest.raises(RuntimeError, match="cancel it first"):
        runner.forget("run-1")
    wait_for_end(runner, "run-1")
