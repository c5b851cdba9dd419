"""Commitments: only who has the key can make or test one."""

import hashlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.commitment import CommitmentKey

KEY, OTHER_KEY = CommitmentKey(b"k" * 32), CommitmentKey(b"o" * 32)
ids = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6)


@given(ids, st.data())
def test_the_order_of_the_ids_does_not_matter(sample_ids: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(sample_ids))

    assert KEY.of_sample_ids(shuffled) == KEY.of_sample_ids(sample_ids)


@given(ids, ids)
def test_different_sets_have_different_commitments(one: list[str], other: list[str]) -> None:
    assert (KEY.of_sample_ids(one) == KEY.of_sample_ids(other)) == (sorted(one) == sorted(other))


@pytest.mark.parametrize(("one", "other"), [(["ab"], ["a", "b"]), (["a,b"], ["a", "b"]), (['a","b'], ["a", "b"])])
def test_ids_cannot_run_into_each_other(one: list[str], other: list[str]) -> None:
    assert KEY.of_sample_ids(one) != KEY.of_sample_ids(other)


@given(ids)
def test_without_the_key_a_commitment_cannot_be_made(sample_ids: list[str]) -> None:
    assert KEY.of_sample_ids(sample_ids) != OTHER_KEY.of_sample_ids(sample_ids)


def test_a_commitment_is_no_plain_hash_of_an_id() -> None:
    assert KEY.of_sample_ids(["sample"]) != hashlib.sha256(b"sample").hexdigest()


def test_each_purpose_has_digests_of_its_own() -> None:
    digests = [
        KEY.of_sample_ids(["x"]),
        KEY.of_request("x", "", []),
        KEY.split_key("x"),
        KEY.split_key('["x",1]'),
        KEY.reference_folds_key("x", 1),
        KEY.reference_folds_key("x", 2),
    ]

    assert all(one != other for one, other in combinations(digests, 2))


REQUEST = ("lineage", "gdpr", ("a", "b"))


@pytest.mark.parametrize(
    "other",
    [
        ("lineage-2", "gdpr", ("a", "b")),
        ("lineage", "ccpa", ("a", "b")),
        ("lineage", "gdpr", ("b", "a")),
        ("lineage", "gdpr", ("a",)),
        ("lineagegdpr", "", ("a", "b")),
    ],
)
def test_the_request_digest_binds_all_of_the_request(other: tuple[str, str, tuple[str, ...]]) -> None:
    assert KEY.of_request(*REQUEST) != KEY.of_request(*other)
    assert KEY.of_request(*REQUEST) == KEY.of_request(*REQUEST)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, got {length}"):
        CommitmentKey(b"k" * length)


def test_the_key_does_not_show_itself() -> None:
    assert repr(KEY) == "CommitmentKey(…)" == str(KEY)
