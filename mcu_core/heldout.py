"""The keyed split of held-out samples into D_v, D_t and the sealed non-members C_cal and C_eval."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcu_core.config import HeldoutConfig
from mcu_core.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldoutSplit:
    """Positions in the list of held-out samples, int64, ascending and disjoint."""

    validation: Tensor
    test: Tensor
    calibration: Tensor
    evaluation: Tensor


def split_heldout(keys: Sequence[str], key: bytes, config: HeldoutConfig) -> HeldoutSplit:
    """Split held-out samples by a keyed hash of their subject.

    u = (first 53 bits of BLAKE2b_key(subject)) / 2^53, uniform in [0, 1): below `validation` it is D_v's, in the next
    `test` D_t's, in the next `calibration` C_cal's, in the next `evaluation` C_eval's, and beyond that nobody's. All
    samples of a subject go together, and where they go depends on nothing but the subject and the key.

    Args:
        keys: subject of each sample, or the sample's own id where it has none.
        key: secret of at most 64 bytes, so that nobody can choose ids that land in one part.
        config: the four shares.

    Returns:
        Four groups of positions in `keys`.

    Raises:
        ConfigurationError: the key is empty or longer than 64 bytes.
    """
    shares = [config.validation, config.test, config.calibration, config.evaluation]
    edges = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    part = torch.bucketize(keyed_uniforms(keys, key), edges, right=True)
    validation, test, calibration, evaluation = ((part == index).nonzero().flatten() for index in range(len(shares)))
    return HeldoutSplit(validation=validation, test=test, calibration=calibration, evaluation=evaluation)


def keyed_uniforms(keys: Sequence[str], key: bytes) -> Tensor:
    """Return a number for each subject that nobody without the key can foresee.

    u = (first 53 bits of BLAKE2b_key(subject)) / 2^53

    Args:
        keys: subjects; equal ones get equal numbers.
        key: secret of 1 to 64 bytes.

    Returns:
        float64 `[n]`, uniform in [0, 1).

    Raises:
        ConfigurationError: the key is empty or longer than 64 bytes.
    """
    if not 1 <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ConfigurationError(f"the key of the split needs 1 to 64 bytes, got {len(key)}")
    return torch.tensor([_uniform(subject, key) for subject in keys], dtype=torch.float64)


def _uniform(subject: str, key: bytes) -> float:
    digest = hashlib.blake2b(subject.encode(), key=key, digest_size=8).digest()
    # 53 bits: every value is exact in float64 and below 1.
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53
