"""Jobs as processes on this machine that outlive the server, and are found again after it was killed.

Every job has a folder. Its `lock` is held (flock) by the job's own processes, which inherit it: the kernel lets go of
it with the last of them, however they die, so that a job is running exactly while its lock is held. No process id is
kept, and none can be mistaken for another. A shell around the command writes the exit code, which nobody else can know
once the server is gone.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from service.errors import ServerOverloadedError
from service.ports import JobState, JobStatus

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_KILL_SECONDS = 10.0
"""A killed process is gone sooner, unless it hangs in the kernel."""
_POLL_SECONDS = 0.05

# The shell outlives the signals that end the command, to write down how it ended. Codes above 128 are deaths by signal:
# a job that was killed has said nothing.
_SHELL = """
trap : TERM INT HUP
folder=$1; shift
"$@"
code=$?
[ "$code" -gt 128 ] || { echo "$code" > "$folder/exit.partial" && mv "$folder/exit.partial" "$folder/exit"; }
"""


class LocalJobRunner:
    """Runs attempts as processes on this machine (Linux: processes are found through /proc)."""

    def __init__(
        self, folder: Path, command: Sequence[str], env: Mapping[str, str], *, grace_seconds: float = 10.0
    ) -> None:
        """Run `command` with the key of the work order as its last argument.

        Args:
            folder: keeps a folder for each job: its lock, its exit code, its output (`log`).
            command: program and arguments.
            env: the job's whole environment.
            grace_seconds: between asking a job to end and killing it.
        """
        self._folder = folder.absolute()
        self._command = tuple(command)
        self._env = dict(env)
        self._grace_seconds = grace_seconds

    def start(self, name: str, order_key: str) -> None:
        """Start a job, unless one of this name was started before.

        Raises:
            ServerOverloadedError: the machine cannot start a process now.
        """
        job = self._job(name)
        try:
            with self._locked():
                if job.exists():
                    return
                job.mkdir()
                try:
                    self._spawn(job, order_key)
                except OSError:
                    shutil.rmtree(job)
                    raise
        except OSError as error:
            raise ServerOverloadedError(f"job {name} cannot be started now: {error.strerror}") from error

    def observe(self, name: str) -> JobStatus:
        """Return how a job stands."""
        with self._locked():
            return _status(self._job(name))

    def cancel(self, name: str) -> None:
        """Ask a job's processes to end, kill them after the grace, and wait until they are gone.

        Raises:
            ServerOverloadedError: they cannot be killed now.
        """
        job = self._job(name)
        groups = self._groups(job)
        _signal(groups, signal.SIGTERM)
        self._wait(job, self._grace_seconds)
        # Also those of its groups that never held the lock: children of children, which do not inherit it.
        groups |= self._groups(job)
        _signal(groups, signal.SIGKILL)
        if not self._wait(job, _KILL_SECONDS):
            raise ServerOverloadedError(f"job {name} cannot be killed now")

    def forget(self, name: str) -> None:
        """Delete the folder of an ended job.

        Raises:
            RuntimeError: it is running.
        """
        job = self._job(name)
        with self._locked():
            if _status(job).state is JobState.RUNNING:
                raise RuntimeError(f"job {name} is running: cancel it first")
            shutil.rmtree(job, ignore_errors=True)

    def _job(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise RuntimeError("a job's name has letters, digits, dots, underscores and hyphens only")
        return self._folder / name

    def _spawn(self, job: Path, order_key: str) -> None:
        with (job / "lock").open("wb") as lock, (job / "log").open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, "job", str(job), *self._command, order_key],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
        # A child that nobody waits for stays a zombie.
        threading.Thread(target=process.wait, name=f"reap {job.name}", daemon=True).start()

    def _groups(self, job: Path) -> set[int]:
        """Return the process groups of those who hold the job's lock now."""
        with self._locked():
            groups = set()
            for pid in _holders(job / "lock"):
                with suppress(ProcessLookupError):
                    groups.add(os.getpgid(pid))
            return groups - {os.getpgrp()}

    def _wait(self, job: Path, seconds: float) -> bool:
        """Return whether the job's lock became free in time."""
        deadline = time.monotonic() + seconds
        while True:
            with self._locked():
                if not _is_held(job / "lock"):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other users of the folder out, so that a job's lock is held by the job or nobody."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _status(job: Path) -> JobStatus:
    if not job.exists():
        return JobStatus(state=JobState.ABSENT)
    is_held = _is_held(job / "lock")  # asked first: once it is free, nobody writes an exit code any more
    try:
        return JobStatus(state=JobState.ENDED, exit_code=int((job / "exit").read_text()))
    except (FileNotFoundError, ValueError):
        return JobStatus(state=JobState.RUNNING if is_held else JobState.LOST)


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _holders(lock: Path) -> Iterator[int]:
    """Yield the processes that have a file open."""
    target = lock.resolve()
    for process in Path("/proc").glob("[0-9]*"):
        if any(opened == target for opened in _open_files(process)):
            yield int(process.name)


def _open_files(process: Path) -> Iterator[Path]:
    # A process may end while it is looked at, or belong to somebody else; a file of it may be closed meanwhile, which
    # must not hide the others.
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield descriptor.readlink()


def _signal(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
