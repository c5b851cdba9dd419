"""A Merkle tree over salted commitments to sample ids: a receipt proves that a sample was in a run, naming no other.

Source: RFC 6962, section 2.1 (and RFC 9162, section 2.1.3, the same tree). Deviation: the leaves are sorted by hash, so
that the root does not depend on the order in which the samples were named, and no leaf occurs twice.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

_LEAF, _NODE = b"\x00", b"\x01"
"""Domain separation: without it a node could be shown as a leaf (second preimage)."""
SALT_BYTES = 32
"""Fixed, so that salt and id cannot run into each other."""


@dataclass(frozen=True, slots=True)
class MerkleTree:
    """All hashes of a tree.

    Attributes:
        levels: the sorted leaves first, the root alone in the last one.
    """

    levels: tuple[tuple[bytes, ...], ...]

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> bytes:
        """Return the hash over all leaves."""
        return self.levels[-1][0]

    def index(self, leaf: bytes) -> int:
        """Return a leaf's position.

        Raises:
            RuntimeError: the tree has no such leaf.
        """
        leaves = self.levels[0]
        index = bisect_left(leaves, leaf)
        if index == len(leaves) or leaves[index] != leaf:
            raise RuntimeError("the tree has no such leaf")
        return index

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the audit path of a leaf: the sibling hashes from the leaf up to the root (RFC 6962, 2.1.1).

        Raises:
            RuntimeError: the index lies outside of the tree.
        """
        if not 0 <= index < self.size:
            raise RuntimeError(f"leaf {index} of a tree of {self.size}")
        siblings = []
        for level in self.levels[:-1]:
            if index ^ 1 < len(level):  # the last node of an odd level is lifted as it is
                siblings.append(level[index ^ 1])
            index >>= 1
        return tuple(siblings)


def leaf_hash(salt: bytes, sample_id: str) -> bytes:
    """Return SHA-256(0x00 || salt || sample id in UTF-8).

    Raises:
        ValueError: the salt has another length than 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, got {len(salt)}")
    return hashlib.sha256(_LEAF + salt + sample_id.encode()).digest()


def build_tree(leaves: Iterable[bytes]) -> MerkleTree:
    """Build the tree over leaf hashes, in any order.

    Equation: MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n])), k the largest power of two below n; built here
    level by level, which is the same tree.

    Raises:
        ValueError: there is no leaf, or one occurs twice.
    """
    given = list(leaves)
    level = tuple(sorted(set(given)))
    if not level or len(level) != len(given):
        raise ValueError(f"a tree needs different leaves: {len(given)} given, {len(level)} different")
    levels = [level]
    while len(level) > 1:
        pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = (*pairs, level[-1]) if len(level) % 2 else tuple(pairs)
        levels.append(level)
    return MerkleTree(tuple(levels))


def verify_path(*, leaf: bytes, index: int, size: int, path: Iterable[bytes], root: bytes) -> bool:
    """Return whether a leaf stands at this index of the tree of this size and root.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    position, last, current = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position % 2 or position == last:
            current = _node(sibling, current)
            while position % 2 == 0 and position != 0:
                position, last = position >> 1, last >> 1
        else:
            current = _node(current, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and current == root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
