"""Names of results: what differs from the defaults is in them, so that no result takes another one's place."""

import re
from dataclasses import dataclass

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
