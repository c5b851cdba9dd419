"""What a data directory and the settings hold as files: the policy, the keys, the claim of one service on it."""

import fcntl
import os
import secrets
from collections.abc import Hashable
from importlib import resources
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import yaml

from mcu_core.judging.policy import AuditPolicy
from service.adapters.key_file_signer import create_key_file, open_key_file
from service.domain.commitment import CommitmentKey
from service.errors import FieldViolation, InvalidRequestError, ServiceRunningError
from service.settings import Settings
from service.signing import Signer

DATABASE = "store.db"
"""Of the embedded default, in the data directory."""


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a threshold that is named twice: YAML takes the last one, a person reads the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys differ."""
        keys = [key.value for key, _ in node.value]
        repeated = {str(key) for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.constructor.ConstructorError(problem=f"named twice: {', '.join(sorted(repeated))}")
        return super().construct_mapping(node, deep)


def load_policy(settings: Settings) -> AuditPolicy:
    """Read the thresholds of the gate.

    Raises:
        InvalidRequestError: the file is missing or says something else.
    """
    source = settings.policy_file or resources.files("service") / "policy.yaml"
    try:
        text = source.read_text(encoding="utf-8")
        return AuditPolicy.model_validate(yaml.load(text, Loader=_EachKeyOnce))  # noqa: S506  # a SafeLoader
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidRequestError(FieldViolation(field="policy_file", description=f"{source}: {error}")) from error


def load_commitment_key(settings: Settings) -> CommitmentKey:
    """Read the commitment key; in the data directory it is made at the first start, readable by its owner only.

    Raises:
        InvalidRequestError: the file is missing or holds no 32 bytes in hexadecimal.
    """
    path = settings.commitment_key_file or settings.data_dir / "commitment.key"
    if settings.commitment_key_file is None and not path.exists():
        if (settings.data_dir / DATABASE).exists():
            text = f"{path} is gone, and what was committed to with it cannot be recognised: restore it from a copy"
            raise InvalidRequestError(FieldViolation(field="commitment_key_file", description=text))
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with partial.open("w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    try:
        return CommitmentKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        text = f"{path} must hold 32 bytes in hexadecimal"
        raise InvalidRequestError(FieldViolation(field="commitment_key_file", description=text)) from error


def load_signer(settings: Settings, *, create: bool = True) -> Signer:
    """Open the signing key; in the data directory it is made at the first start.

    What an earlier key signed stays verifiable with its public part; so a lost key is replaced, and whoever verifies
    sees another key id.

    Raises:
        SignatureError: the file is missing or cannot be used.
    """
    path = settings.signing_key_file or settings.data_dir / "signing.key"
    if create and settings.signing_key_file is None and not path.exists():
        return create_key_file(path)
    return open_key_file(path)


def claim_data_dir(folder: Path) -> TextIOWrapper:
    """Claim a data directory for this process: the kernel lets go of the claim when the process ends, however it ends.

    Raises:
        ServiceRunningError: another process has it.
    """
    claim = (folder / "service.lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        claim.close()
        raise ServiceRunningError(
            f"another service runs on {folder}: stop it, or take another data directory"
        ) from error
    return claim
