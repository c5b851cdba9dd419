"""Jobs as processes: what is left and what is known after the server, the job, or both were killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.adapters.local_jobs import LocalJobRunner, _holders
from service.errors import ServerOverloadedError
from service.ports import JobState, JobStatus

DEADLINE_SECONDS = 30.0

SERVER = """
import os, signal, sys, time
from pathlib import Path
from service.adapters.local_jobs import LocalJobRunner
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background hands down that it is ignored
LocalJobRunner(Path(sys.argv[1]), sys.argv[2:-1], dict(os.environ)).start("run-1", sys.argv[-1])
print("started", flush=True)
time.sleep(600)
"""
"""A server that has started one job and does something else since."""

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ignoring", flush=True)
time.sleep(600)
"""

GRACEFUL = """
import signal, sys, time
def end(number, frame):
    sys.exit(10)
signal.signal(signal.SIGTERM, end)
print("listening", flush=True)
time.sleep(600)
"""

WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def runner_of(folder: Path, code: str, *, grace_seconds: float = 10.0) -> LocalJobRunner:
    return LocalJobRunner(folder / "jobs", [sys.executable, "-c", code], dict(os.environ), grace_seconds=grace_seconds)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    runner = runner_of(tmp_path, "")
    for job in (tmp_path / "jobs").glob("run-*"):
        runner.cancel(job.name)


def wait_until(claim: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def job_processes(folder: Path) -> list[int]:
    """Return the job's shell and its command, the shell first."""
    return sorted(_holders(folder / "jobs" / "run-1" / "lock"))


def is_alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def zombies() -> list[str]:
    """Return the children of this process that nobody has waited for."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [child for child in children if not is_alive(int(child))]


def printed(folder: Path) -> str:
    return (folder / "jobs" / "run-1" / "log").read_text()


def start_and_kill_server(folder: Path, code: str, order: str) -> None:
    command = [sys.executable, "-c", SERVER, str(folder / "jobs"), sys.executable, "-c", code, order]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"started\n"
        server.kill()


def test_a_job_outlives_its_server_and_its_exit_code_is_known_to_the_next(folder: Path) -> None:
    start_and_kill_server(folder, "import sys, time; time.sleep(float(sys.argv[1])); sys.exit(21)", "1.0")

    runner = runner_of(folder, "raise SystemExit('never started')")
    assert runner.observe("run-1") == JobStatus(state=JobState.RUNNING)
    runner.start("run-1", "1.0")
    wait_until(lambda: runner.observe("run-1").state is not JobState.RUNNING)
    assert runner.observe("run-1") == JobStatus(state=JobState.ENDED, exit_code=21)


def test_an_exit_code_of_a_job_that_ended_while_no_server_ran_is_known(folder: Path) -> None:
    start_and_kill_server(folder, "import sys; sys.exit(int(sys.argv[1]))", "11")
    wait_until((folder / "jobs" / "run-1" / "exit").exists)

    assert runner_of(folder, "").observe("run-1") == JobStatus(state=JobState.ENDED, exit_code=11)


def test_a_killed_job_is_lost(folder: Path) -> None:
    runner = runner_of(folder, "import time; time.sleep(600)")
    runner.start("run-1", "order")
    wait_until(lambda: len(job_processes(folder)) == 2)

    os.kill(job_processes(folder)[1], signal.SIGKILL)

    wait_until(lambda: runner.observe("run-1").state is not JobState.RUNNING)
    assert runner.observe("run-1") == JobStatus(state=JobState.LOST)


def test_a_job_whose_shell_was_killed_runs_on_and_is_lost_at_its_end(folder: Path) -> None:
    runner = runner_of(folder, "import sys, time; time.sleep(float(sys.argv[1]))")
    runner.start("run-1", "0.5")
    wait_until(lambda: len(job_processes(folder)) == 2)

    os.kill(job_processes(folder)[0], signal.SIGKILL)

    assert runner.observe("run-1") == JobStatus(state=JobState.RUNNING)
    wait_until(lambda: runner.observe("run-1").state is not JobState.RUNNING)
    assert runner.observe("run-1") == JobStatus(state=JobState.LOST)


def test_server_and_job_killed_together_leave_a_lost_job(folder: Path) -> None:
    start_and_kill_server(folder, "import time; time.sleep(600)", "order")
    wait_until(lambda: len(job_processes(folder)) == 2)
    for pid in job_processes(folder):
        os.kill(pid, signal.SIGKILL)

    runner = runner_of(folder, "")
    wait_until(lambda: runner.observe("run-1").state is JobState.LOST)
    runner.cancel("run-1")
    runner.forget("run-1")
    assert runner.observe("run-1").state is JobState.ABSENT


def test_a_server_killed_between_the_folder_and_the_process_leaves_a_lost_job(folder: Path) -> None:
    (folder / "jobs" / "run-1").mkdir(parents=True)

    assert runner_of(folder, "").observe("run-1") == JobStatus(state=JobState.LOST)


def test_the_next_server_can_cancel_the_job_of_a_killed_one(folder: Path) -> None:
    start_and_kill_server(folder, "import time; time.sleep(600)", "order")
    wait_until(lambda: len(job_processes(folder)) == 2)
    processes = job_processes(folder)

    runner_of(folder, "").cancel("run-1")

    assert processes
    assert not any(is_alive(pid) for pid in processes)


def test_cancelling_lets_a_job_end_by_itself(folder: Path) -> None:
    runner = runner_of(folder, GRACEFUL)
    runner.start("run-1", "order")
    wait_until(lambda: "listening" in printed(folder))

    runner.cancel("run-1")

    assert runner.observe("run-1") == JobStatus(state=JobState.ENDED, exit_code=10)


def test_a_job_that_does_not_listen_is_killed_after_the_grace(folder: Path) -> None:
    runner = runner_of(folder, STUBBORN, grace_seconds=0.3)
    runner.start("run-1", "order")
    wait_until(lambda: "ignoring" in printed(folder))

    before = time.monotonic()
    runner.cancel("run-1")

    assert time.monotonic() - before >= 0.3
    assert runner.observe("run-1") == JobStatus(state=JobState.LOST)


def test_cancelling_ends_the_children_of_a_job_too(folder: Path) -> None:
    runner = runner_of(folder, WITH_CHILD)
    runner.start("run-1", "order")
    wait_until(lambda: printed(folder).strip())
    child = int(printed(folder))

    runner.cancel("run-1")

    wait_until(lambda: not is_alive(child))


def test_cancelling_an_ended_job_signals_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(folder, "")
    runner.start("run-1", "order")
    wait_until(lambda: runner.observe("run-1").state is JobState.ENDED and not job_processes(folder))

    def killpg(group: int, number: int) -> None:
        pytest.fail(f"group {group} was sent signal {number}")

    monkeypatch.setattr(os, "killpg", killpg)
    runner.cancel("run-1")


def test_ended_jobs_leave_no_zombies(folder: Path) -> None:
    runner = runner_of(folder, "")
    for number in range(5):
        runner.start(f"run-{number}", "order")

    wait_until(lambda: all(runner.observe(f"run-{number}").state is JobState.ENDED for number in range(5)))
    wait_until(lambda: not zombies())


def test_a_job_has_its_own_session_environment_and_log(folder: Path) -> None:
    code = "import os, sys; print(os.getsid(0), sorted(os.environ), sys.argv[1:], flush=True); sys.exit('error')"
    runner = LocalJobRunner(folder / "jobs", [sys.executable, "-c", code, "work"], {"LC_ALL": "C", "UNLEARN_X": "1"})
    runner.start("run-1", "runs/run-1/order.json; touch hacked")
    wait_until(lambda: runner.observe("run-1").state is JobState.ENDED)

    session, _, rest = printed(folder).partition(" ")
    assert int(session) != os.getsid(0)
    assert "'UNLEARN_X'" in rest
    assert "'HOME'" not in rest
    assert "['work', 'runs/run-1/order.json; touch hacked']" in rest
    assert "error" in rest


def test_a_command_that_does_not_exist_ends_with_127(folder: Path) -> None:
    runner = LocalJobRunner(folder / "jobs", ["/no/such/program"], {})
    runner.start("run-1", "order")
    wait_until(lambda: runner.observe("run-1").state is not JobState.RUNNING)

    assert runner.observe("run-1") == JobStatus(state=JobState.ENDED, exit_code=127)


def test_a_job_that_cannot_be_started_can_be_started_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(folder, "")

    def popen(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", popen)
        with pytest.raises(ServerOverloadedError, match="run-1 cannot be started now"):
            runner.start("run-1", "order")

    assert runner.observe("run-1").state is JobState.ABSENT
    runner.start("run-1", "order")
    wait_until(lambda: runner.observe("run-1").state is JobState.ENDED)


@pytest.mark.parametrize("name", ["", ".", "..", "../run", "a/b", ".lock", "a\n", "a b", "x" * 201])
def test_a_name_that_is_no_folder_is_misuse(folder: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="name"):
        runner_of(folder, "").start(name, "order")


def test_stopping_the_server_by_its_terminal_does_not_stop_the_job(folder: Path) -> None:
    command = [
        sys.executable,
        "-c",
        SERVER,
        str(folder / "jobs"),
        sys.executable,
        "-c",
        "import time; time.sleep(600)",
        "x",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        os.killpg(server.pid, signal.SIGINT)
        server.wait()

    assert runner_of(folder, "").observe("run-1") == JobStatus(state=JobState.RUNNING)
