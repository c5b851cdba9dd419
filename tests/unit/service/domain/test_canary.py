"""Canaries: fair coins that only the key can open, and batches that keep them fair."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from service.domain.canary import (
    Canary,
    CanaryBatch,
    CanaryRegister,
    batch_of,
    chosen_ids,
    draw_batch,
    is_included,
    wrong_label,
)
from service.errors import InvalidRequestError

SECRET = "someone@example.org"
keys = st.binary(min_size=32, max_size=32)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
registers = st.builds(
    lambda key, found: CanaryRegister(key=key, sample_ids=tuple(sorted(found))),
    keys,
    st.sets(ids, min_size=1, max_size=30),
)


# The coin


@settings(max_examples=40, deadline=None)
@given(keys)
def test_the_coin_is_fair_whatever_the_key(key: bytes) -> None:
    heads = sum(is_included(key, f"sample-{number}") for number in range(2000))

    # A fair coin fails this about once in 10^9 keys.
    assert binomtest(heads, 2000).pvalue > 1e-9


@settings(max_examples=40, deadline=None)
@given(ids)
def test_the_coin_is_fair_for_one_sample_over_the_keys(sample_id: str) -> None:
    heads = sum(is_included(number.to_bytes(32, "big"), sample_id) for number in range(2000))

    assert binomtest(heads, 2000).pvalue > 1e-9


@given(keys, ids)
def test_the_coin_falls_the_same_way_each_time(key: bytes, sample_id: str) -> None:
    assert is_included(key, sample_id) == is_included(bytes(key), str(sample_id))


def test_the_coin_is_the_first_bit_of_the_hmac() -> None:
    # Computed with `printf 'canary-coincanary-NN' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f`.
    thrown = [is_included(bytes(range(32)), f"canary-{number:02d}") for number in range(6)]
    assert thrown == [False, False, False, True, True, True]


def test_neither_label_nor_choice_tells_how_the_coin_fell() -> None:
    key = bytes(32)
    found = [f"s{number}" for number in range(4000)]
    by_coin = {
        coin: Counter(
            wrong_label(key, sample_id, 0, range(5)) for sample_id in found if is_included(key, sample_id) is coin
        )
        for coin in (True, False)
    }
    chosen = sum(is_included(key, sample_id) for sample_id in chosen_ids(key, found, 2000))

    assert all(chisquare(list(labels.values())).pvalue > 1e-6 for labels in by_coin.values())
    assert binomtest(chosen, 2000).pvalue > 1e-6


@given(keys, ids, st.sets(st.integers(0, 1000), min_size=2, max_size=9), st.data())
def test_a_wrong_label_is_another_one_of_the_labels(
    key: bytes, sample_id: str, labels: set[int], data: st.DataObject
) -> None:
    own = data.draw(st.sampled_from(sorted(labels)))

    assert wrong_label(key, sample_id, own, labels) in labels - {own}


def test_where_there_is_one_class_none_is_wrong() -> None:
    with pytest.raises(ValueError, match="no other label"):
        wrong_label(bytes(32), "a", 3, [3])


@given(keys, st.sets(ids, min_size=1, max_size=30), st.data())
def test_which_samples_become_canaries_does_not_depend_on_their_order(
    key: bytes, found: set[str], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(found)))
    one, other = (chosen_ids(key, data.draw(st.permutations(sorted(found))), count) for _ in range(2))

    assert one == other
    assert len(set(one)) == count
    assert set(one) <= found


# The register


@given(registers)
def test_a_register_survives_its_file_and_the_files_digest_is_the_commitment(register: CanaryRegister) -> None:
    content = register.to_bytes()

    assert CanaryRegister.from_bytes(content) == register
    assert register.commitment == hashlib.sha256(content).hexdigest()


@given(registers)
def test_every_canary_is_in_or_out(register: CanaryRegister) -> None:
    assert sorted(register.included_ids + register.excluded_ids) == list(register.sample_ids)
    assert all(is_included(register.key, sample_id) for sample_id in register.included_ids)
    assert not any(is_included(register.key, sample_id) for sample_id in register.excluded_ids)


@given(registers, keys, ids)
def test_the_commitment_binds_key_and_ids(register: CanaryRegister, key: bytes, sample_id: str) -> None:
    others = [
        CanaryRegister(key=key, sample_ids=register.sample_ids),
        replace(register, mislabelled=True),
        CanaryRegister(key=register.key, sample_ids=tuple(sorted({*register.sample_ids, sample_id}))),
    ]
    assert all((other == register) == (other.commitment == register.commitment) for other in others)


def test_a_register_shows_neither_key_nor_ids() -> None:
    register = CanaryRegister(key=b"k" * 32, sample_ids=(SECRET,))

    assert repr(register) == str(register) == "CanaryRegister(1 canaries)"


@pytest.mark.parametrize(
    "wrong", [{"key": bytes(31)}, {"sample_ids": ()}, {"sample_ids": ("b", "a")}, {"sample_ids": ("a", "a")}]
)
def test_what_is_no_register_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|each once"):
        CanaryRegister(**({"key": bytes(32), "sample_ids": ("a",)} | wrong))


WHOLE = {"schema_version": 1, "key": "00" * 32, "sample_ids": [SECRET], "mislabelled": True}
CHANGES: tuple[dict[str, object], ...] = (
    {"schema_version": 2},
    {"key": "0" * 63},
    {"key": SECRET},
    {"sample_ids": [SECRET, SECRET]},
    {"sample_ids": [{"secret": SECRET}]},
    {"sample_ids": []},
    {"mislabelled": SECRET},
    {SECRET: 1},
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        *(json.dumps(WHOLE | change).encode() for change in CHANGES),
    ],
)  # fmt: skip
def test_a_file_that_is_no_register_is_refused_and_not_quoted(content: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="no register of canaries") as refused:
        CanaryRegister.from_bytes(content)
    assert SECRET not in f"{refused.value} {refused.value.__cause__} {refused.value.metadata}"


# Batches

canaries = st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40, unique_by=lambda one: one[0]).map(
    lambda found: [Canary(row=row, is_included=is_in) for row, is_in in found]
)


def rows_of(found: Iterable[Canary], *, included: bool) -> set[int]:
    return {canary.row for canary in found if canary.is_included is included}


@given(canaries, st.sets(st.integers(0, 60)), st.integers(0, 30), ids)
def test_a_batch_has_as_many_of_either_kind_and_only_free_ones(
    found: list[Canary], unavailable: set[int], most: int, seed: str
) -> None:
    batch = draw_batch(found, unavailable=unavailable, most=most, seed=seed)
    free = [rows_of(found, included=kind) - unavailable for kind in (True, False)]

    assert len(batch.included) == len(batch.excluded) == min(most, *map(len, free))
    assert set(batch.included) <= free[0]
    assert set(batch.excluded) <= free[1]
    assert [list(batch.included), list(batch.excluded)] == [sorted(batch.included), sorted(batch.excluded)]


@given(canaries, st.integers(0, 30), st.data())
def test_the_order_in_which_canaries_are_kept_does_not_matter(
    found: list[Canary], most: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(found))

    assert draw_batch(found, unavailable=(), most=most, seed="s") == draw_batch(
        shuffled, unavailable=(), most=most, seed="s"
    )


def test_another_run_draws_others() -> None:
    found = [Canary(row=row, is_included=row % 2 == 0) for row in range(400)]
    one, other = (draw_batch(found, unavailable=(), most=20, seed=seed) for seed in ("c 1", "c 2"))

    assert one.included != other.included
    assert one.included != tuple(range(0, 40, 2)), "rows of one class often stand together"


def test_the_batch_of_a_run_is_what_it_has_taken() -> None:
    found = [
        Canary(row=9, is_included=True, used_by_run="a"),
        Canary(row=2, is_included=True, used_by_run="a"),
        Canary(row=5, is_included=False, used_by_run="a"),
        Canary(row=7, is_included=True, used_by_run="b"),
        Canary(row=1, is_included=False),
    ]

    assert batch_of(found, "a") == CanaryBatch(included=(2, 9), excluded=(5,))
    assert batch_of(found, "none").rows == ()
