"""Receipts: what a submitter holds of a request, and the proof that its samples were in the runs that forgot them.

A receipt names no sample, not even the submitter's own: who knows an id can find its leaf with the salt that stands in
the receipt. So it tells nothing to who cannot guess ids, and is to be kept like the ids by who can.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mcu_core.report import Digest
from service.domain.commitment import CommitmentKey
from service.domain.merkle import MerkleTree, build_tree, leaf_hash, verify_path
from service.domain.release import Release

Microseconds = Annotated[int, Field(ge=0, lt=2**53)]
"""Since 1970-01-01 UTC."""
MAX_PATH = 64
"""Hashes in a path: more leaves than 2^64 there are not."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SampleProof(_Document):
    """Where one sample stands in a run's tree."""

    position: Annotated[int, Field(ge=0)]
    """In the request."""
    salt: Digest
    """HMAC(key, run id, sample id): another in each run."""
    index: Annotated[int, Field(ge=0)]
    """Of the leaf SHA-256(0x00 || salt || sample id)."""
    path: Annotated[tuple[Digest, ...], Field(max_length=MAX_PATH)]
    """From the leaf up."""


class Inclusion(_Document):
    """The samples of a request that one run forgot."""

    run_id: str
    release: Annotated[int, Field(ge=1)]
    """Number of the release that forgot them."""
    weights_digest: Digest
    report_digest: Digest | None
    """Of `report.json`, which holds root and size under the service's signature."""
    root: Digest
    size: Annotated[int, Field(ge=1)]
    """Samples in the tree, all tickets of the run together."""
    samples: tuple[SampleProof, ...]


class Receipt(_Document):
    """What the service confirms of one ticket."""

    schema_version: Literal[1] = 1
    ticket_id: str
    lineage: str
    request_digest: Digest
    """Keyed digest of the request as it was received."""
    sample_count: Annotated[int, Field(ge=1)]
    received_at: Microseconds
    due_at: Microseconds
    issued_at: Microseconds
    inclusions: tuple[Inclusion, ...]
    """Empty until a release has forgotten samples of the request; one for each run that did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenSet:
    """What one run forgot: all samples of all its tickets that were not forgotten before."""

    run_id: str
    tree: MerkleTree

    @property
    def root(self) -> str:
        """Return the Merkle root, hexadecimal: `forget_root` of the run's plans, `deletion.root` of its reports."""
        return self.tree.root.hex()


def forgotten_set(key: CommitmentKey, run_id: str, sample_ids: Iterable[str]) -> ForgottenSet:
    """Commit to the samples of a run, D_f without canaries; their order does not matter.

    Raises:
        ValueError: there is none, or one is named twice.
    """
    leaves = [leaf_hash(key.leaf_salt(run_id, sample_id), sample_id) for sample_id in sample_ids]
    return ForgottenSet(run_id=run_id, tree=build_tree(leaves))


def inclusion_of(
    key: CommitmentKey, forgotten: ForgottenSet, release: Release, samples: Mapping[int, str]
) -> Inclusion:
    """Prove samples of a request to be in what a release's run forgot.

    Args:
        key: the service's.
        forgotten: of that run.
        release: that the run made.
        samples: positions in the request and their ids.

    Raises:
        RuntimeError: a sample is not in it.
    """
    proofs = []
    for position, sample_id in samples.items():
        salt = key.leaf_salt(forgotten.run_id, sample_id)
        index = forgotten.tree.index(leaf_hash(salt, sample_id))
        path = tuple(sibling.hex() for sibling in forgotten.tree.path(index))
        proofs.append(SampleProof(position=position, salt=salt.hex(), index=index, path=path))
    return Inclusion(
        run_id=forgotten.run_id,
        release=release.number,
        weights_digest=release.weights_digest,
        report_digest=release.report_digest,
        root=forgotten.root,
        size=forgotten.tree.size,
        samples=tuple(proofs),
    )


def unproven(inclusion: Inclusion, sample_ids: Sequence[str]) -> tuple[int, ...]:
    """Return the positions, among the given ids, of those that this inclusion does not prove.

    An id is first tried at its own position in the request: a whole request is checked in linear time.
    """
    by_position = {proof.position: proof for proof in inclusion.samples}
    return tuple(
        position
        for position, sample_id in enumerate(sample_ids)
        if not (
            (position in by_position and _proves(inclusion, by_position[position], sample_id))
            or any(_proves(inclusion, proof, sample_id) for proof in inclusion.samples)
        )
    )


def _proves(inclusion: Inclusion, proof: SampleProof, sample_id: str) -> bool:
    return verify_path(
        leaf=leaf_hash(bytes.fromhex(proof.salt), sample_id),
        index=proof.index,
        size=inclusion.size,
        path=[bytes.fromhex(sibling) for sibling in proof.path],
        root=bytes.fromhex(inclusion.root),
    )
