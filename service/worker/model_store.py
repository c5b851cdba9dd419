"""A folder of finished models, so that an interrupted study goes on where it was.

The cells of `unlearn bench` have a store of their own: its records are made to be checked in, without weights. Here are
models only.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mcu_core import checkpoint
from mcu_core.errors import CheckpointError
from mcu_core.types import State
from mcu_core.whole_files import locked, write_whole
from service.domain.canonical import canonical_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStore:
    """Models by the digest of everything that they depend on."""

    folder: Path

    def get(self, key: Mapping[str, object], model: nn.Module, make: Callable[[], State]) -> State:
        """Return the model of a key; make and keep it where it is not there yet.

        A process that wants a model which another one is making waits for it.

        Args:
            key: JSON of everything that the model depends on: data, settings, seed.
            model: the architecture.
            make: trains it.

        Returns:
            The state on the CPU, always as it was read back from its file. A file that is not what was written is made
            again.
        """
        name = hashlib.sha256(canonical_bytes(dict(key))).hexdigest()
        weights, promise = (self.folder / f"{name}.{suffix}" for suffix in ("safetensors", "sha256"))
        found = _read(weights, promise, model)
        if found is not None:
            return found
        with locked(self.folder / f".{name}.lock"):
            found = _read(weights, promise, model)  # another process may have made it
            if found is not None:
                return found
            _keep(make(), weights, promise)
        return checkpoint.load(weights, model, expected_digest=promise.read_text(encoding="ascii"))


def _read(weights: Path, promise: Path, model: nn.Module) -> State | None:
    """Return the model where it is there and undamaged."""
    try:
        expected = promise.read_text(encoding="ascii")
        return checkpoint.load(weights, model, expected_digest=expected)
    except (FileNotFoundError, UnicodeDecodeError, CheckpointError):
        return None


def _keep(state: State, weights: Path, promise: Path) -> None:
    content = checkpoint.to_bytes(state)
    write_whole(weights, content)
    write_whole(promise, hashlib.sha256(content).hexdigest().encode())  # last: whoever sees it finds the weights
