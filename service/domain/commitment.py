"""Keyed commitments: how ids are spoken of outside the store.

A plain hash of a sample id can be found again by guessing; a keyed one only by who has the key.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.canonical import canonical_bytes


@dataclass(frozen=True, slots=True)
class CommitmentKey:
    """The service's secret key, 32 bytes, from which every keyed digest is made (HMAC-SHA256, domain-separated)."""

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != 32:
            raise ValueError(f"the commitment key needs 32 bytes, got {len(self.secret)}")

    def __repr__(self) -> str:
        return "CommitmentKey(…)"

    def of_sample_ids(self, sample_ids: Iterable[str]) -> str:
        """Return the commitment to a set of sample ids; their order does not matter."""
        return self._digest("sample-ids", canonical_bytes(sorted(sample_ids)))

    def of_request(self, lineage: str, regime: str, sample_ids: Iterable[str]) -> str:
        """Return the digest by which a repeated request is told from a reused request id."""
        return self._digest("request", canonical_bytes([lineage, regime, list(sample_ids)]))

    def of_hold_order(self, lineage: str, treatment: str, legal_basis: str, sample_ids: Iterable[str]) -> str:
        """Return the digest by which a repeated order of a hold is told from a reused request id."""
        return self._digest("hold-order", canonical_bytes([lineage, treatment, legal_basis, list(sample_ids)]))

    def of_selection(self, lineage: str, regime: str, source: str, named: Iterable[str]) -> str:
        """Return the digest of a request that names its samples otherwise than by ids, as `of_request` does."""
        return self._digest("selection", canonical_bytes([lineage, regime, source, list(named)]))

    def split_key(self, manifest_digest: str) -> str:
        """Return the key, hexadecimal, that splits a manifest's held-out samples into D_v, D_t and C."""
        return self._digest("heldout-split", manifest_digest.encode())

    def leaf_salt(self, run_id: str, sample_id: str) -> bytes:
        """Return the salt, 32 bytes, under which a run's Merkle tree commits to a sample.

        It is another in each run, so that the leaves of two runs cannot be compared. Whoever is given it can test ids.
        """
        return bytes.fromhex(self._digest("merkle-leaf", canonical_bytes([run_id, sample_id])))

    def reference_folds_key(self, manifest_digest: str, seed: int) -> str:
        """Return the key, hexadecimal, that deals a manifest's training samples to the folds of a family's members."""
        return self._digest("reference-folds", canonical_bytes([manifest_digest, seed]))

    def _digest(self, purpose: str, message: bytes) -> str:
        return hmac.new(self.secret, purpose.encode() + b"\0" + message, hashlib.sha256).hexdigest()
