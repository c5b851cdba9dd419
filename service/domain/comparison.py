"""Where two JSON values differ: the first field, in the words of its path."""

import math
from typing import Any

from pydantic import BaseModel

FLOAT_TOLERANCE = 1e-9
"""Absolute or, above 1, relative: what summation order and another processor may change of the audit's numbers."""


def first_difference(stated: Any, computed: Any, *, tolerance: float = 0.0, path: str = "") -> str | None:
    """Return the path of the first field that differs together with both values; `None` where all agree.

    Args:
        stated: a JSON value.
        computed: the one that it should be.
        tolerance: for floats, absolute or relative, whichever is larger; all else must be equal, kinds included.
        path: of the values themselves.
    """
    where = path or "the document"
    match stated, computed:
        case dict(), dict():
            if stated.keys() != computed.keys():
                return f"{where} has other fields: {', '.join(sorted(stated.keys() ^ computed.keys()))}"
            children = [(f"{path}.{key}" if path else key, stated[key], computed[key]) for key in stated]
        case list(), list():
            if len(stated) != len(computed):
                return f"{where} has {len(stated)} entries, not {len(computed)}"
            children = [(f"{path}[{at}]", *pair) for at, pair in enumerate(zip(stated, computed, strict=True))]
        case float(), float() if math.isclose(stated, computed, rel_tol=tolerance, abs_tol=tolerance):
            return None
        case _:
            same = type(stated) is type(computed) and stated == computed
            return None if same else f"{where} is {stated!r}, not {computed!r}"
    found = (first_difference(one, other, tolerance=tolerance, path=name) for name, one, other in children)
    return next((difference for difference in found if difference is not None), None)


def document_difference(
    stated: BaseModel, computed: BaseModel, *, tolerance: float = 0.0, path: str = ""
) -> str | None:
    """Return the first difference of two documents' JSON, by `first_difference`."""
    one, other = (document.model_dump(mode="json") for document in (stated, computed))
    return first_difference(one, other, tolerance=tolerance, path=path)
