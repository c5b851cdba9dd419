"""Files of results: what differs from the defaults is in their names, so that none takes another one's place."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from mcu_core.whole_files import write_whole

MOST_NAME_BYTES = 200
"""Of the stem of a result's files. File systems take 255 with the suffix, and would refuse more only when everything is
computed."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_DIGEST_DIGITS = 16
"""Of the digest that stands for the end of a name which is too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSetting:
    """One setting that a result depends on."""

    word: str = ""
    """Goes before the value; a setting that is on is the word alone."""
    value: object
    default: object


def result_name(base: str, *settings: NamedSetting) -> str:
    """Return the stem of a result's files: the base, then every setting that has not its default.

    A name of more than `MOST_NAME_BYTES` is cut, and ends in a digest of the whole one.
    """
    words = [base]
    for setting in settings:
        if setting.value != setting.default:
            words += [setting.word, *_texts(setting.value)]
    whole = "-".join(word for word in words if word)
    name = _UNSAFE.sub("-", whole)  # ASCII: a byte a character
    if len(name) <= MOST_NAME_BYTES:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST_DIGITS]
    return f"{name[: MOST_NAME_BYTES - _DIGEST_DIGITS - 1]}-{digest}"


def _texts(value: object) -> list[str]:
    match value:
        case bool():
            return []
        case tuple():
            return [str(part) for part in value]
        case _:
            return [str(value)]


def require_writable(folder: Path) -> None:
    """Make a folder where there is none, and see that files can be written into it, before there is anything to lose.

    Raises:
        OSError: they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def write_result(folder: Path, name: str, content: Mapping[str, bytes]) -> list[Path]:
    """Write the files of one result, each complete or not at all; return them.

    Args:
        folder: made where there is none.
        name: stem of the files.
        content: by suffix, without the dot.
    """
    paths = []
    for suffix, part in content.items():
        path = folder / f"{name}.{suffix}"
        write_whole(path, part)
        paths.append(path)
    return paths
