"""A folder of finished models, so that an interrupted study goes on where it was."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mcu_core import checkpoint
from mcu_core.types import State
from service.domain.canonical import canonical_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStore:
    """Models by the digest of everything that they depend on."""

    folder: Path

    def get(self, key: Mapping[str, object], model: nn.Module, make: Callable[[], State]) -> State:
        """Return the model of a key; make and keep it where it is not there yet.

        Args:
            key: JSON of everything that the model depends on: data, settings, seed.
            model: the architecture.
            make: trains it.

        Returns:
            The state on the CPU, always as it was read back from its file.

        Raises:
            CheckpointError: a stored file is not what was written; remove it.
        """
        name = hashlib.sha256(canonical_bytes(dict(key))).hexdigest()
        weights, promise = (self.folder / f"{name}.{suffix}" for suffix in ("safetensors", "sha256"))
        if not promise.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = weights.with_suffix(f".{os.getpid()}.partial")
            digest = checkpoint.save(make(), partial)
            partial.replace(weights)
            promise.write_text(digest, encoding="ascii")  # last: whoever sees it finds the weights
        return checkpoint.load(weights, model, expected_digest=promise.read_text(encoding="ascii"))
