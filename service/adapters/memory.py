"""Objects, jobs, keys and time in memory: for tests and for trying things out."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from service.adapters.key_file_signer import KeySigner
from service.adapters.object_bytes import (
    check_digest,
    checked_folder,
    checked_key,
    chunks_of,
    in_folder,
    sha256_of,
    write_checked,
)
from service.errors import ObjectExistsError, ObjectMissingError, PointerMovedError
from service.ports import JobState, JobStatus, StoredObject


class FrozenClock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime) -> None:
        """Stand still at an aware time."""
        self.set(at)

    def set(self, at: datetime) -> None:
        """Stand at another aware time.

        Raises:
            RuntimeError: the time has no zone.
        """
        if at.tzinfo is None:
            raise RuntimeError("a clock needs an aware time")
        self._at = at

    def now(self) -> datetime:
        """Return the time at which the clock stands."""
        return self._at

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self._at += by


class MemorySigner(KeySigner):
    """Signs with a key that nobody keeps."""

    def __init__(self, seed: bytes) -> None:
        """Make the ed25519 key of a seed of 32 bytes: equal seeds, equal keys."""
        super().__init__(CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed)))


class MemoryObjectStore:
    """Objects in a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, str]] = {}

    def create(self, key: str, data: bytes | Path) -> StoredObject:
        """Write an object that must not exist yet; the same bytes are a success."""
        content = b"".join(chunks_of(data))
        digest = sha256_of(content)
        with self._lock:
            present = self._objects.setdefault(checked_key(key), (content, digest))
        if present[1] != digest:
            raise ObjectExistsError(f"object {key} exists with other bytes", key=key)
        return _describe(key, *present)

    def replace(self, key: str, data: bytes, *, expected_etag: str | None) -> StoredObject:
        """Move a pointer by compare-and-swap; the same bytes being there already is a success."""
        digest = sha256_of(data)
        with self._lock:
            present = self._objects.get(checked_key(key))
            etag = None if present is None else present[1]
            if etag not in {expected_etag, digest}:
                raise PointerMovedError(f"pointer {key} was moved by somebody else", key=key)
            self._objects[key] = (data, digest)
        return _describe(key, data, digest)

    def overwrite(self, key: str, data: bytes) -> None:
        """Write without any condition."""
        with self._lock:
            self._objects[checked_key(key)] = (data, sha256_of(data))

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object."""
        present = self._objects.get(checked_key(key))
        return None if present is None else _describe(key, *present)

    def read(self, key: str) -> bytes:
        """Return an object's bytes, checked against its recorded digest."""
        content, digest = self._present(key)
        check_digest(key, expected=digest, actual=hashlib.sha256(content).hexdigest())
        return content

    def download(self, key: str, path: Path) -> StoredObject:
        """Write an object to a file, checked like `read`."""
        content, digest = self._present(key)
        write_checked([content], path, key=key, expected=digest)
        return _describe(key, content, digest)

    def keys(self, folder: str) -> Iterator[str]:
        """Yield the keys under a folder, sorted."""
        folder = checked_folder(folder)
        with self._lock:
            found = sorted(key for key in self._objects if in_folder(key, folder))
        yield from found

    def delete(self, key: str) -> None:
        """Delete an object; no error where there is none."""
        with self._lock:
            self._objects.pop(checked_key(key), None)

    def locate(self, key: str) -> str:
        """Return where the object would be found, were it not in memory."""
        return f"memory://{checked_key(key)}"

    def _present(self, key: str) -> tuple[bytes, str]:
        present = self._objects.get(checked_key(key))
        if present is None:
            raise ObjectMissingError(f"object {key} does not exist", key=key)
        return present


def _describe(key: str, content: bytes, digest: str) -> StoredObject:
    return StoredObject(key=key, size=len(content), etag=digest, sha256=digest)


@dataclass(slots=True)
class _Job:
    thread: threading.Thread
    exit_code: int | None = None


class InProcessJobRunner:
    """Runs each job as a call in a thread. A thread cannot be ended from outside, so `cancel` waits for its end."""

    def __init__(self, run: Callable[[str], int]) -> None:
        """Take what a job does: the key of its work order in, its exit code out; an exception is a lost job."""
        self._run = run
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    def start(self, name: str, order_key: str) -> None:
        """Start a job, unless one of this name was started before."""
        with self._lock:
            if name in self._jobs:
                return
            job = _Job(threading.Thread(target=self._execute, args=(name, order_key), name=name, daemon=True))
            self._jobs[name] = job
            job.thread.start()

    def observe(self, name: str) -> JobStatus:
        """Return how a job stands."""
        with self._lock:
            job = self._jobs.get(name)
            if job is None:
                return JobStatus(state=JobState.ABSENT)
            if job.thread.is_alive():
                return JobStatus(state=JobState.RUNNING)
            if job.exit_code is None:
                return JobStatus(state=JobState.LOST)
            return JobStatus(state=JobState.ENDED, exit_code=job.exit_code)

    def cancel(self, name: str) -> None:
        """Wait until a job is gone."""
        with self._lock:
            job = self._jobs.get(name)
        if job is not None:
            job.thread.join()

    def forget(self, name: str) -> None:
        """Let go of an ended job."""
        with self._lock:
            job = self._jobs.get(name)
            if job is not None and job.thread.is_alive():
                raise RuntimeError(f"job {name} is running: cancel it first")
            self._jobs.pop(name, None)

    def _execute(self, name: str, order_key: str) -> None:
        # An exception reaches threading's hook, as it would reach a process's stderr; the exit code stays unknown.
        self._jobs[name].exit_code = self._run(order_key)
