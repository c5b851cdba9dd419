"""The tree of RFC 6962 over sorted leaves: what is proven is there, and nothing else can be proven."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.merkle import build_tree, leaf_hash, verify_path

hashes = st.binary(min_size=32, max_size=32)
leaf_sets = st.sets(hashes, min_size=1, max_size=40).map(sorted)
SALT = bytes(32)


def slow_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962, section 2.1 writes it."""
    if len(leaves) == 1:
        return leaves[0]
    half = _largest_power_of_two_below(len(leaves))
    return hashlib.sha256(b"\x01" + slow_root(leaves[:half]) + slow_root(leaves[half:])).digest()


def slow_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962, section 2.1.1 writes it."""
    if len(leaves) == 1:
        return []
    half = _largest_power_of_two_below(len(leaves))
    if index < half:
        return [*slow_path(index, leaves[:half]), slow_root(leaves[half:])]
    return [*slow_path(index - half, leaves[half:]), slow_root(leaves[:half])]


def _largest_power_of_two_below(number: int) -> int:
    power = 1
    while power * 2 < number:
        power *= 2
    return power


@given(leaf_sets)
def test_root_and_paths_are_those_of_the_recursive_definition(leaves: list[bytes]) -> None:
    tree = build_tree(leaves)

    assert tree.root == slow_root(leaves)
    assert [list(tree.path(index)) for index in range(tree.size)] == [
        slow_path(index, leaves) for index in range(len(leaves))
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 100])
def test_every_leaf_is_proven_at_its_own_index_only(size: int) -> None:
    tree = build_tree(hashlib.sha256(bytes([number])).digest() for number in range(size))

    for index, leaf in enumerate(tree.levels[0]):
        path = tree.path(index)
        proven = [at for at in range(size) if verify_path(leaf=leaf, index=at, size=size, path=path, root=tree.root)]
        assert proven == [index] == [tree.index(leaf)]


@given(leaf_sets, st.data())
def test_the_order_of_the_leaves_does_not_matter(leaves: list[bytes], data: st.DataObject) -> None:
    assert build_tree(data.draw(st.permutations(leaves))) == build_tree(leaves)


@given(leaf_sets, hashes, st.data())
def test_a_leaf_that_is_not_there_is_not_proven(leaves: list[bytes], other: bytes, data: st.DataObject) -> None:
    tree = build_tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))

    proven = verify_path(leaf=other, index=index, size=tree.size, path=tree.path(index), root=tree.root)

    assert proven == (other == leaves[index])


@given(leaf_sets, st.data())
def test_a_changed_shortened_or_lengthened_path_proves_nothing(leaves: list[bytes], data: st.DataObject) -> None:
    tree = build_tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = tree.path(index)
    others = [(*path, bytes(32)), path[:-1], path[1:], tuple(hashlib.sha256(sibling).digest() for sibling in path)]

    for other in others:
        proven = verify_path(leaf=leaves[index], index=index, size=tree.size, path=other, root=tree.root)
        assert proven == (other == path)


def test_a_node_cannot_be_shown_as_a_leaf() -> None:
    leaves = [leaf_hash(SALT, name) for name in "abcd"]
    tree = build_tree(leaves)
    inner = tree.levels[1]

    assert build_tree(inner).root == tree.root  # hence leaves are hashed under a prefix of their own ...
    children = tree.levels[0][0] + tree.levels[0][1]
    assert hashlib.sha256(b"\x00" + children).digest() != inner[0]  # ... and no leaf's data give an inner node
    assert not verify_path(leaf=inner[0], index=0, size=4, path=[inner[1]], root=tree.root)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0), (7, 2)])
def test_an_index_outside_of_the_tree_is_not_proven(index: int, size: int) -> None:
    tree = build_tree(leaf_hash(SALT, name) for name in "abcd")

    assert not verify_path(leaf=tree.levels[0][0], index=index, size=size, path=tree.path(0), root=tree.root)


@pytest.mark.parametrize("leaves", [[], [bytes(32), bytes(32)]])
def test_a_tree_has_leaves_and_each_once(leaves: list[bytes]) -> None:
    with pytest.raises(ValueError, match="different leaves"):
        build_tree(leaves)


def test_a_leaf_or_index_that_the_tree_does_not_have_is_misuse() -> None:
    tree = build_tree([bytes(32)])

    with pytest.raises(RuntimeError, match="no such leaf"):
        tree.index(b"\xff" * 32)
    with pytest.raises(RuntimeError, match="leaf 1 of a tree of 1"):
        tree.path(1)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_salt_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, got {length}"):
        leaf_hash(bytes(length), "sample")
