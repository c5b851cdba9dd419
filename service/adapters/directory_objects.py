"""Objects as files in a directory, safe across threads, processes and crashes.

Layout: a key is a symbolic link to `.blobs/<token>.<sha256>`, with the ending of a page where it is one. A link is made
or replaced in one atomic step, and with it bytes and digest change together: no crash leaves one without the other. A
blob that is being written ends in `.partial` and is locked by its writer; what a killed writer left is swept when a
store is opened.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mcu_core.whole_files import sync_folder
from service.adapters.object_bytes import (
    check_digest,
    checked_folder,
    checked_key,
    chunks_of,
    chunks_of_file,
    in_folder,
    sha256_of,
    write_checked,
)
from service.errors import (
    DigestMismatchError,
    ObjectExistsError,
    ObjectMissingError,
    ObjectStoreUnavailableError,
    PointerMovedError,
)
from service.ports import StoredObject

_PARTIAL = ".partial"
_PAGES = frozenset({".html", ".json"})
"""Endings by which a browser knows what it opens: it follows the link first."""
_LINK = ".link"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    path: Path
    sha256: str


class DirectoryObjectStore:
    """Objects in a directory of a local file system."""

    def __init__(self, root: Path) -> None:
        """Open a directory, made if need be, and sweep what killed writers left in it.

        Raises:
            ObjectStoreUnavailableError: the directory cannot be used.
        """
        self._root = root.absolute()
        self._blobs = self._root / ".blobs"
        with _unavailable("the object store's directory"):
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._sweep()

    def create(self, key: str, data: bytes | Path) -> StoredObject:
        """Write an object that must not exist yet; the same bytes are a success."""
        self._link(key)
        with _unavailable(f"object {key}"):
            # Decided without a second copy of what may be large.
            if (present := self._find(key)) is not None:
                return _same(key, present, sha256_of(data))
            with self._staged(data) as (staged, digest), self._locked():
                if (present := self._find(key)) is not None:
                    return _same(key, present, digest)
                return self._commit(key, staged, digest)

    def replace(self, key: str, data: bytes, *, expected_etag: str | None) -> StoredObject:
        """Move a pointer by compare-and-swap; the same bytes being there already is a success."""
        self._link(key)
        with _unavailable(f"pointer {key}"), self._staged(data) as (staged, digest), self._locked():
            present = self._find(key)
            if present is not None and present.sha256 == digest:
                return _describe(key, present)
            if (None if present is None else present.sha256) != expected_etag:
                raise PointerMovedError(f"pointer {key} was moved by somebody else", key=key)
            return self._commit(key, staged, digest)

    def overwrite(self, key: str, data: bytes) -> None:
        """Write without any condition."""
        self._link(key)
        with _unavailable(f"object {key}"), self._staged(data) as (staged, digest), self._locked():
            self._commit(key, staged, digest)

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object."""
        with _unavailable(f"object {key}"):
            try:
                file, blob = self._open(key)
            except ObjectMissingError:
                return None
            with file:
                return _describe(key, blob, file)

    def read(self, key: str) -> bytes:
        """Return an object's bytes, checked against its recorded digest."""
        with _unavailable(f"object {key}"):
            file, blob = self._open(key)
            with file:
                content = file.read()
        check_digest(key, expected=blob.sha256, actual=hashlib.sha256(content).hexdigest())
        return content

    def download(self, key: str, path: Path) -> StoredObject:
        """Write an object to a file, checked like `read`."""
        with _unavailable(f"object {key}"):
            file, blob = self._open(key)
            with file:
                write_checked(chunks_of_file(file), path, key=key, expected=blob.sha256)
                return _describe(key, blob, file)

    def keys(self, folder: str) -> Iterator[str]:
        """Yield the keys under a folder, sorted."""
        folder = checked_folder(folder)
        with _unavailable(f"folder {folder}"):
            found = [key for key in self._walk() if in_folder(key, folder)]
        yield from sorted(found)

    def delete(self, key: str) -> None:
        """Delete an object and the folders that it leaves empty; no error where there is none."""
        link = self._link(key)
        with _unavailable(f"object {key}"), self._locked():
            blob = self._find(key)
            if blob is None:
                return
            link.unlink()
            sync_folder(link.parent)  # a link that a power failure brings back must not lead to nothing
            blob.path.unlink(missing_ok=True)
            for folder in self._folders(link):
                if any(folder.iterdir()):
                    break
                folder.rmdir()

    def locate(self, key: str) -> str:
        """Return the path at which an object can be opened."""
        return str(self._link(key))

    def _link(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _folders(self, link: Path) -> list[Path]:
        """Return the folders of a key below the root, innermost first."""
        return [folder for folder in link.parents if self._root in folder.parents]

    def _find(self, key: str) -> _Blob | None:
        link = self._link(key)
        try:
            target = link.readlink()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # EINVAL: no link
            if link.is_dir():
                return None
            raise DigestMismatchError(
                f"object {key} is a file that this store has not written and has no digest of", key=key
            ) from error
        return _Blob(path=self._blobs / target.name, sha256=target.name.split(".")[1])

    def _open(self, key: str) -> tuple[BinaryIO, _Blob]:
        """Open an object's bytes: once open, they stay readable whatever happens to the key."""
        missing = None
        while True:
            blob = self._find(key)
            if blob is None:
                raise ObjectMissingError(f"object {key} does not exist", key=key)
            if blob == missing:
                raise DigestMismatchError(f"the bytes of object {key} are gone: restore them from a copy", key=key)
            try:
                return blob.path.open("rb"), blob
            except FileNotFoundError:
                missing = blob  # replaced since it was found, unless it is found again

    def _walk(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self._root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if path.is_symlink():
                    yield path.relative_to(self._root).as_posix()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A lock of its own open file: it excludes other threads and other processes alike, and dies with its holder.
        with (self._root / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _staged(self, data: bytes | Path) -> Iterator[tuple[Path, str]]:
        """Write bytes to disk under a name that nobody reads; they are gone at the end unless they were committed."""
        path = self._blobs / f"{secrets.token_hex(8)}{_PARTIAL}"
        with self._locked():
            file = path.open("xb")
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            with file:
                digest = hashlib.sha256()
                for chunk in chunks_of(data):
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                yield path, digest.hexdigest()
        finally:
            path.unlink(missing_ok=True)

    def _commit(self, key: str, staged: Path, digest: str) -> StoredObject:
        """Put staged bytes under a key, in place of what is there; the lock is held.

        1. Name the blob by its digest.
        2. Make the link beside it and move it onto the key: the one atomic step.
        3. Bring the names to disk, then drop the blob that was replaced.
        """
        link = self._link(key)
        replaced = self._find(key)
        ending = link.suffix if link.suffix in _PAGES else ""
        blob = _Blob(path=staged.with_suffix(f".{digest}{ending}"), sha256=digest)
        temporary = staged.with_suffix(_LINK)
        staged.rename(blob.path)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            temporary.symlink_to(os.path.relpath(blob.path, link.parent))
            temporary.replace(link)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            blob.path.unlink()
            temporary.unlink(missing_ok=True)
            raise ObjectExistsError(f"object {key} cannot be where a folder is, or under an object", key=key) from error
        except OSError:
            blob.path.unlink()
            temporary.unlink(missing_ok=True)
            raise
        for folder in (self._blobs, *self._folders(link), self._root):
            sync_folder(folder)
        if replaced is not None:
            replaced.path.unlink(missing_ok=True)
        return _describe(key, blob)

    def _sweep(self) -> None:
        """Delete what killed writers left: unlocked partial files, links never moved, blobs that no key links to."""
        with self._locked():
            linked = {(self._root / key).readlink().name for key in self._walk()}
            for path in self._blobs.iterdir():
                if path.name not in linked and not (path.suffix == _PARTIAL and _is_being_written(path)):
                    path.unlink()


def _same(key: str, present: _Blob, digest: str) -> StoredObject:
    if present.sha256 != digest:
        raise ObjectExistsError(f"object {key} exists with other bytes", key=key)
    return _describe(key, present)


def _describe(key: str, blob: _Blob, file: BinaryIO | None = None) -> StoredObject:
    size = blob.path.stat().st_size if file is None else os.fstat(file.fileno()).st_size
    return StoredObject(key=key, size=size, etag=blob.sha256, sha256=blob.sha256)


def _is_being_written(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectStoreUnavailableError(f"{what} cannot be read or written now: {error.strerror}") from error
