"""Weights as safetensors: the only file format and the only file access of the core. Nothing is ever unpickled."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from mcu_core.errors import ArchitectureError, CheckpointError
from mcu_core.models import state_of
from mcu_core.types import Params, Pathway, State

_SHOWN = 5
"""Tensors that an error message names."""


def to_bytes(state: State) -> bytes:
    """Serialise a state.

    One flat safetensors file with the names of `Module.state_dict`, without metadata: equal tensors give equal bytes,
    whatever their order in memory, and any tool that reads safetensors can use the file.

    Args:
        state: on any device.

    Returns:
        The file's content.

    Raises:
        CheckpointError: a parameter and a buffer have the same name.
    """
    shared = state.params.keys() & state.buffers.keys()
    if shared:
        raise CheckpointError(f"parameters and buffers share the names {_some(shared)}")
    return _serialise({**state.params, **state.buffers})


def digest(state: State) -> str:
    """Return the SHA-256 of `to_bytes(state)`, hexadecimal."""
    return hashlib.sha256(to_bytes(state)).hexdigest()


def save(state: State, path: Path) -> str:
    """Write a state to a file and return its digest."""
    content = to_bytes(state)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load(source: Path | bytes, model: nn.Module, *, expected_digest: str) -> State:
    """Read a state and check that it is the expected one and fits the model.

    1. The bytes have the expected digest. 2. They are well-formed safetensors. 3. Names, shapes and dtypes are the
    model's. 4. Every number is finite.

    Args:
        source: a file or its content.
        model: the architecture; tells parameters from buffers; not changed.
        expected_digest: SHA-256 of the bytes, hexadecimal.

    Returns:
        The state on the CPU.

    Raises:
        CheckpointError: the bytes are missing, others than promised, malformed, or hold numbers that are not finite.
        ArchitectureError: the tensors are not the model's.
    """
    tensors = _deserialise(_read(source), expected_digest)
    expected = state_of(model)
    _require_same_tensors(tensors, {**expected.params, **expected.buffers})
    _require_finite(tensors)
    return State(
        params={name: tensors[name] for name in expected.params},
        buffers={name: tensors[name] for name in expected.buffers},
    )


def pathway_to_bytes(pathway: Pathway) -> bytes:
    """Serialise a pathway without its original: the control point, the end, and the mask as one byte a tensor."""
    content = {f"control/{name}": tensor for name, tensor in pathway.control.items()}
    content |= {f"end/{name}": tensor for name, tensor in pathway.end.items()}
    content |= {f"mask/{name}": torch.tensor([name in pathway.mask], dtype=torch.uint8) for name in pathway.original}
    return _serialise(content)


def load_pathway(source: Path | bytes, original: Params, *, expected_digest: str) -> Pathway:
    """Read a pathway that starts at a given original.

    Args:
        source: a file or its content.
        original: θ_o, from its own checkpoint.
        expected_digest: SHA-256 of the bytes, hexadecimal.

    Returns:
        The pathway on the original's device.

    Raises:
        CheckpointError: as `load`.
        ArchitectureError: the tensors are not the original's.
    """
    tensors = _deserialise(_read(source), expected_digest)
    expected = {f"{part}/{name}": tensor for part in ("control", "end") for name, tensor in original.items()}
    expected |= {f"mask/{name}": torch.zeros(1, dtype=torch.uint8) for name in original}
    _require_same_tensors(tensors, expected)
    _require_finite(tensors)
    return Pathway(
        original=original,
        control={name: tensors[f"control/{name}"].to(tensor.device) for name, tensor in original.items()},
        end={name: tensors[f"end/{name}"].to(tensor.device) for name, tensor in original.items()},
        mask=frozenset(name for name in original if bool(tensors[f"mask/{name}"])),
    )


def _serialise(tensors: Mapping[str, Tensor]) -> bytes:
    # The format sorts by dtype and name itself; sorting here as well keeps this independent of its version.
    return safetensors.torch.save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})


def _read(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the weights file cannot be read: {error.strerror}") from error


def _deserialise(content: bytes, expected_digest: str) -> dict[str, Tensor]:
    found = hashlib.sha256(content).hexdigest()
    if found != expected_digest:
        raise CheckpointError(
            f"the {len(content)} bytes of weights have digest {found}, expected {expected_digest}: fetch them again"
        )
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise CheckpointError(f"the {len(content)} bytes of weights are no well-formed safetensors: {error}") from error


def _require_same_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing = expected.keys() - found.keys()
    if missing:
        raise ArchitectureError(f"the weights lack {len(missing)} tensors of the architecture: {_some(missing)}")
    extra = found.keys() - expected.keys()
    if extra:
        raise ArchitectureError(f"the weights have {len(extra)} tensors that the architecture lacks: {_some(extra)}")
    wrong = [
        f"{name} is {_describe(found[name])}, expected {_describe(tensor)}"
        for name, tensor in expected.items()
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype
    ]
    if wrong:
        raise ArchitectureError(f"{len(wrong)} tensors do not fit the architecture: {'; '.join(wrong[:_SHOWN])}")


def _require_finite(tensors: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise CheckpointError(f"{len(broken)} tensors hold numbers that are not finite: {_some(broken)}")


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else "")
