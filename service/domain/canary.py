"""Canaries: samples whose inclusion in training was decided by a secret fair coin.

A run forgets a batch of canaries that the model was trained on together with the tickets' samples, and the audit
compares them with canaries of the same kind that nothing was trained on. Nobody but the coin has chosen who is in, so
that whatever still tells the two apart is a trace of the training.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.domain.canonical import canonical_bytes
from service.errors import FieldViolation, InvalidRequestError

KEY_BYTES = 32
_COIN, _LABEL, _CHOICE = b"canary-coin", b"canary-label", b"canary-choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A canary of a lineage, as the store keeps it.

    Attributes:
        row: of the lineage's manifest.
        is_included: how its coin fell: whether the model was trained on it.
        used_by_run: the last run that took it.
    """

    row: int
    is_included: bool
    used_by_run: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CanaryRegister:
    """Everything that was secret at planting: the key of the coins, and whom they were thrown for.

    Attributes:
        key: 32 secret bytes, made for this planting alone.
        sample_ids: every canary, sorted.
        mislabelled: whether their classes were replaced by wrong ones.
    """

    key: bytes
    sample_ids: tuple[str, ...]
    mislabelled: bool = False

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"the key of the coins needs {KEY_BYTES} bytes, got {len(self.key)}")
        if not self.sample_ids or list(self.sample_ids) != sorted(set(self.sample_ids)):
            raise ValueError("a register names at least one canary, each once, sorted")

    def __repr__(self) -> str:
        return f"CanaryRegister({len(self.sample_ids)} canaries)"

    @property
    def included_ids(self) -> tuple[str, ...]:
        """Return the canaries that are trained on."""
        return tuple(sample_id for sample_id in self.sample_ids if is_included(self.key, sample_id))

    @property
    def excluded_ids(self) -> tuple[str, ...]:
        """Return the canaries that nothing is trained on."""
        return tuple(sample_id for sample_id in self.sample_ids if not is_included(self.key, sample_id))

    @property
    def commitment(self) -> str:
        """Return the SHA-256 of the canonical content: it tells nothing of the coins, and binds them."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the canonical JSON (RFC 8785); the SHA-256 of a file of these bytes is the commitment."""
        return canonical_bytes(
            {
                "schema_version": 1,
                "key": self.key.hex(),
                "sample_ids": list(self.sample_ids),
                "mislabelled": self.mislabelled,
            }
        )

    @staticmethod
    def from_bytes(content: bytes) -> "CanaryRegister":
        """Read a register.

        Raises:
            InvalidRequestError: this is none; what it holds is never quoted.
        """
        try:
            read = _Content.model_validate_json(content)
            return CanaryRegister(key=bytes.fromhex(read.key), sample_ids=read.sample_ids, mislabelled=read.mislabelled)
        except (ValidationError, ValueError):
            description = "is no register of canaries as `unlearn manifest canaries` writes it"
            raise InvalidRequestError(FieldViolation(field="canaries", description=description)) from None


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal[1]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    sample_ids: tuple[str, ...]
    mislabelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryBatch:
    """The canaries of one run, as many of either kind.

    Attributes:
        included: rows that the base model knows and the run forgets, sorted.
        excluded: rows that no model was trained on, sorted.
    """

    included: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """Return all of them."""
        return self.included + self.excluded


NO_CANARIES = CanaryBatch()
"""Of a run whose lineage has none."""


def is_included(key: bytes, sample_id: str) -> bool:
    """Throw the coin of a canary.

    First bit of HMAC-SHA256(key, "canary-coin" || sample id): fair and independent for everybody who lacks the key.
    """
    return _keyed(key, _COIN, sample_id)[0] >= 0x80


def wrong_label(key: bytes, sample_id: str, label: int, labels: Collection[int]) -> int:
    """Return one of the other labels, uniformly (up to 2^-56) and by the key alone, whichever way the coin fell.

    Raises:
        ValueError: there is no other label.
    """
    others = sorted(set(labels) - {label})
    if not others:
        raise ValueError("there is no other label")
    return others[int.from_bytes(_keyed(key, _LABEL, sample_id)[:8]) % len(others)]


def chosen_ids(key: bytes, sample_ids: Iterable[str], count: int) -> tuple[str, ...]:
    """Return `count` of the samples, as the key picks them, sorted."""
    return tuple(sorted(sorted(sample_ids, key=lambda sample_id: _keyed(key, _CHOICE, sample_id))[:count]))


def draw_batch(canaries: Iterable[Canary], *, unavailable: Collection[int], most: int, seed: str) -> CanaryBatch:
    """Choose the canaries of a run: at most `most` of either kind, and as many included as excluded ones.

    Equal numbers keep the coin fair among those chosen. Which ones does not depend on the order of rows, in which
    samples of one class often stand together.

    Args:
        canaries: of the lineage.
        unavailable: rows that are forgotten already, or that a ticket of the run names.
        most: of either kind.
        seed: of the choice.
    """
    free = [canary for canary in canaries if canary.row not in unavailable]
    included = _in_random_order((canary.row for canary in free if canary.is_included), seed)
    excluded = _in_random_order((canary.row for canary in free if not canary.is_included), seed)
    count = max(0, min(most, len(included), len(excluded)))
    return CanaryBatch(included=tuple(sorted(included[:count])), excluded=tuple(sorted(excluded[:count])))


def batch_of(canaries: Iterable[Canary], run_id: str) -> CanaryBatch:
    """Return the canaries that a run has taken."""
    taken = sorted((canary.row, canary.is_included) for canary in canaries if canary.used_by_run == run_id)
    return CanaryBatch(
        included=tuple(row for row, is_in in taken if is_in), excluded=tuple(row for row, is_in in taken if not is_in)
    )


def _in_random_order(rows: Iterable[int], seed: str) -> list[int]:
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed} {row}".encode()).digest())


def _keyed(key: bytes, purpose: bytes, sample_id: str) -> bytes:
    return hmac.new(key, purpose + sample_id.encode(), hashlib.sha256).digest()
