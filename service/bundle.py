"""The bundle: everything of one audit in one zip or folder, so that anybody can recompute it offline.

    report.json  report.html  report.dsse.json     what was found and decided, and who says so
    plan.json    plan.dsse.json                    what was fixed before the run
    policy.json  scores.parquet                    what the verdict is recomputed from
    attempts/NNNN/{report,plan}{,.dsse}.json       every earlier audited attempt of the run
    model.safetensors                              optional: the published weights

A bundle comes from somebody else: it is read without being unpacked, nothing is followed out of it, nothing in it is
larger than it may be, and members are stored, not compressed, so that no small file becomes a large one.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mcu_core.whole_files import replacing
from service.errors import BundleError

MODEL = "model.safetensors"
REQUIRED = frozenset(
    {
        "report.json",
        "report.html",
        "report.dsse.json",
        "plan.json",
        "plan.dsse.json",
        "policy.json",
        "scores.parquet",
    }
)
ATTEMPT_MEMBERS = ("plan.dsse.json", "plan.json", "report.dsse.json", "report.json")
_ATTEMPT = re.compile(r"attempts/([0-9]{4,6})/(plan|report)(\.dsse)?\.json")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){0,3}")
"""No absolute path, no `..`, no drive, no hidden file, nothing that a terminal would obey."""
MAX_MEMBERS = 1024
MAX_BYTES = 1 << 30
"""Of a member other than the model: scores of some ten million samples."""
MAX_TOTAL_BYTES = 4 << 30
"""Of all members but the model, since they are held in memory."""
MAX_MODEL_BYTES = 64 << 30
"""It is only hashed, in pieces."""
_PIECE = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        members: bytes of each known member but the model.
        model_digest: SHA-256 of the model, where it is in the bundle.
        unknown: names of members that no bundle has; they were not read.
    """

    members: Mapping[str, bytes]
    model_digest: str | None = None
    unknown: tuple[str, ...] = ()

    @property
    def attempts(self) -> tuple[int, ...]:
        """Return the numbers of the earlier attempts, ascending."""
        found = {int(match[1]) for name in self.members if (match := _ATTEMPT.fullmatch(name))}
        return tuple(sorted(found))


def attempt_member(attempt: int, name: str) -> str:
    """Return the name of a member of an earlier attempt."""
    return f"attempts/{attempt:04d}/{name}"


def is_member(name: str) -> bool:
    """Return whether a bundle may have a member of this name."""
    match = _ATTEMPT.fullmatch(name)
    canonical = match is not None and name == attempt_member(int(match[1]), name.rsplit("/", 1)[1])
    return name in REQUIRED or name == MODEL or canonical


def read_bundle(path: Path) -> Bundle:
    """Read a bundle from a zip or a folder.

    Raises:
        BundleError: it cannot be read, or is made to do harm: a path that leads out, a link, a name that occurs twice,
            a compressed or encrypted member, a member that is too large.
    """
    try:
        return _collected(_of_folder(path) if path.is_dir() else _of_zip(path))
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise BundleError(f"{path.name} is no bundle that can be read: {error}") from error


def write_bundle(path: Path, members: Mapping[str, bytes], *, model: Path | None = None) -> None:
    """Write a bundle as a zip: equal members, equal bytes.

    Raises:
        BundleError: a member has a name that no bundle has, or one is missing.
    """
    wrong = sorted(name for name in members if not is_member(name) or name == MODEL) + sorted(REQUIRED - set(members))
    if wrong:
        raise BundleError(f"a bundle has no such member, or must have it: {', '.join(wrong)}")
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(_entry(name), members[name])
        if model is not None:
            with model.open("rb") as source, archive.open(_entry(MODEL), "w", force_zip64=True) as target:
                while piece := source.read(_PIECE):
                    target.write(piece)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    size: int
    source: Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]

    def open(self) -> IO[bytes]:
        return self.source.open("rb") if isinstance(self.source, Path) else self.source[0].open(self.source[1])


def _collected(found: Iterator[_Found]) -> Bundle:
    members: dict[str, bytes] = {}
    model_digest, unknown, total = None, [], 0
    for count, member in enumerate(found):
        if not _SAFE.fullmatch(member.name) or count >= MAX_MEMBERS:
            raise BundleError("the bundle has a member whose name leads elsewhere, or too many members")
        if member.name in members or member.name in unknown or (member.name == MODEL and model_digest):
            raise BundleError(f"the bundle has {member.name} twice")
        if not is_member(member.name):
            unknown.append(member.name)
            continue
        total += 0 if member.name == MODEL else member.size
        if member.size > (MAX_MODEL_BYTES if member.name == MODEL else MAX_BYTES) or total > MAX_TOTAL_BYTES:
            raise BundleError(f"{member.name} is larger than a member may be: {member.size} bytes")
        with member.open() as file:
            if member.name == MODEL:
                model_digest = _digest(file)
            else:
                members[member.name] = file.read(member.size + 1)
    return Bundle(members=members, model_digest=model_digest, unknown=tuple(unknown))


def _of_zip(path: Path) -> Iterator[_Found]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 0x1 or entry.is_dir():
                raise BundleError("the bundle has a compressed or encrypted member, or a folder: pack it with `bundle`")
            yield _Found(entry.filename, entry.file_size, (archive, entry))


def _of_folder(path: Path) -> Iterator[_Found]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_symlink() or not (file.is_dir() or file.is_file()):
            raise BundleError("the bundle has a link or a special file")
        if file.is_file():
            yield _Found(name, file.stat().st_size, file)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, 0o100644 << 16  # Unix, wherever it is written
    return entry


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
