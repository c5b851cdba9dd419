"""Files that are complete or not there, whenever the process ends and however many write them at once."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_READABLE = 0o644
"""Of what is written; a temporary file is its owner's alone."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a name of its own and put it in place of `path` once the disk has it.

    Args:
        path: its folder is made where there is none.

    Yields:
        The open file. An exception leaves what was at `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:64]}.", delete=False) as file:
        partial = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.chmod(_READABLE)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or as it was before; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that one process at a time can have, and wait for it; it ends with the process that holds it.

    Args:
        path: of a file that is made where there is none, and stays: removing it would give the lock to two.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows which files a folder has."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
