"""Files of results: what differs from the defaults is in their names, so that none takes another one's place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcu_core.whole_files import write_whole

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSetting:
    """One setting that a result depends on."""

    word: str = ""
    """Goes before the value; a setting that is on is the word alone."""
    value: object
    default: object


def result_name(base: str, *settings: NamedSetting) -> str:
    """Return the stem of a result's files: the base, then every setting that has not its default."""
    words = [base]
    for setting in settings:
        if setting.value != setting.default:
            words += [setting.word, *_texts(setting.value)]
    return _UNSAFE.sub("-", "-".join(word for word in words if word))


def _texts(value: object) -> list[str]:
    match value:
        case bool():
            return []
        case tuple():
            return [str(part) for part in value]
        case _:
            return [str(value)]


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
