"""Looking at a weights file without torch: enough to refuse what is truncated or hostile when it is registered."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from service.errors import WeightsError

ALLOWED_DTYPES = frozenset({"F16", "BF16", "F32", "F64", "I64", "I32", "U8", "BOOL"})


def check_weights(path: Path) -> None:
    """Read the header of a safetensors file; no tensor is loaded and nothing is executed.

    The library checks that the offsets are within the file, do not overlap and match shape and dtype.

    Raises:
        WeightsError: the file is not well-formed, holds no tensor, or a tensor of an unusual type.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise WeightsError(f"the weights are no well-formed safetensors file: {error}") from error
    if not dtypes:
        raise WeightsError("the weights file holds no tensor")
    unusual = dtypes - ALLOWED_DTYPES
    if unusual:
        raise WeightsError(f"the weights hold tensors of type {', '.join(sorted(unusual))}")
