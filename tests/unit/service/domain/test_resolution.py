"""The training split of a run falls into parts that are disjoint and exhaustive."""

import hashlib
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain.canary import CanaryBatch
from service.domain.canonical import canonical_digest
from service.domain.resolution import Resolution, resolve
from service.errors import EmptyForgetSetError, ForgetSetTooLargeError
from tests.records import digest_of

TRAIN = 30
DIGEST = digest_of("manifest")
rows = st.frozensets(st.integers(0, TRAIN - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    requested: frozenset[int]
    forgotten: frozenset[int]
    held: frozenset[int]

    def resolve(self) -> Resolution:
        return resolve(
            manifest_digest=DIGEST,
            train_rows=TRAIN,
            requested=self.requested,
            forgotten_before=self.forgotten,
            held=self.held,
        )


@st.composite
def possible_wishes(draw: st.DrawFn) -> Wish:
    wish = Wish(requested=draw(rows), forgotten=draw(rows), held=draw(rows))
    assume(wish.requested - wish.forgotten - wish.held)
    assume(len(wish.requested | wish.forgotten | wish.held) < TRAIN)
    return wish


@given(possible_wishes())
def test_the_parts_are_disjoint_and_exhaustive(wish: Wish) -> None:
    found = wish.resolve()
    parts = [set(found.forget), set(found.forgotten_before), set(found.held)]
    retain = set(range(TRAIN)) - set().union(*parts)

    assert sum(map(len, parts)) + len(retain) == TRAIN
    assert found.retain_count == len(retain) > 0


@given(possible_wishes())
def test_forget_is_what_was_asked_for_and_is_neither_forgotten_nor_held(wish: Wish) -> None:
    assert set(wish.resolve().forget) == wish.requested - wish.forgotten - wish.held


@given(possible_wishes())
def test_forgotten_stays_forgotten_whatever_is_held(wish: Wish) -> None:
    found = wish.resolve()

    assert set(found.forgotten_before) == wish.forgotten
    assert set(found.held) == wish.held - wish.forgotten


@given(possible_wishes(), st.data())
def test_order_and_repetition_of_the_rows_do_not_matter(wish: Wish, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations([*wish.requested, *wish.requested]))

    again = resolve(
        manifest_digest=DIGEST,
        train_rows=TRAIN,
        requested=shuffled,
        forgotten_before=list(wish.forgotten),
        held=list(wish.held),
    )
    assert again == wish.resolve()


@given(rows, rows)
def test_nothing_left_to_forget_is_refused(requested: frozenset[int], held: frozenset[int]) -> None:
    with pytest.raises(EmptyForgetSetError):
        Wish(requested=requested, forgotten=requested - held, held=held).resolve()


@given(rows, rows)
def test_nothing_left_to_keep_is_refused(forgotten: frozenset[int], held: frozenset[int]) -> None:
    assume(len(forgotten | held) < TRAIN)
    with pytest.raises(ForgetSetTooLargeError, match=f"of {TRAIN} training samples"):
        Wish(requested=frozenset(range(TRAIN)), forgotten=forgotten, held=held).resolve()


@given(possible_wishes(), possible_wishes())
def test_equal_digests_mean_equal_parts(one: Wish, other: Wish) -> None:
    assert (one.resolve().digest == other.resolve().digest) == (one.resolve() == other.resolve())


CANARIES = CanaryBatch(included=(20, 4), excluded=(31, 30))


def with_canaries(canaries: CanaryBatch, *, train_rows: int = TRAIN) -> Resolution:
    return resolve(
        manifest_digest=DIGEST,
        train_rows=train_rows,
        requested=[7, 2],
        forgotten_before=[3],
        held=[5],
        canaries=canaries,
    )


def test_what_is_unlearned_does_not_tell_canaries_from_the_tickets_samples() -> None:
    found = with_canaries(CANARIES)

    assert (found.forget, found.canary_included, found.canary_excluded) == ((2, 7), (4, 20), (30, 31))
    assert found.unlearned == (2, 4, 7, 20)
    assert found.retain_count == TRAIN - 4 - 1 - 1, "those that are out are in no part of the training split"


@pytest.mark.parametrize(
    "wrong",
    [
        CanaryBatch(included=(2,)),
        CanaryBatch(included=(3,)),
        CanaryBatch(included=(5,)),
        CanaryBatch(excluded=(7,)),
        CanaryBatch(included=(8,), excluded=(8,)),
        CanaryBatch(included=(8, 8)),
    ],
)
def test_a_canary_that_is_in_another_part_too_is_refused(wrong: CanaryBatch) -> None:
    with pytest.raises(RuntimeError, match="in another part"):
        with_canaries(wrong)


def test_canaries_alone_are_nothing_to_forget() -> None:
    with pytest.raises(EmptyForgetSetError):
        resolve(manifest_digest=DIGEST, train_rows=TRAIN, requested=[], forgotten_before=[], canaries=CANARIES)


def test_canaries_must_leave_something_to_keep() -> None:
    with pytest.raises(ForgetSetTooLargeError):
        with_canaries(CANARIES, train_rows=6)


BASE = Resolution(manifest_digest=DIGEST, train_rows=TRAIN, forget=(1, 2), forgotten_before=(3,), held=(4,))


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, manifest_digest=digest_of("other")),
        replace(BASE, train_rows=TRAIN + 1),
        replace(BASE, forget=(1,)),
        replace(BASE, forget=(1, 258)),
        replace(BASE, forget=(1, 2, 3), forgotten_before=()),
        replace(BASE, forgotten_before=(4,), held=(3,)),
        replace(BASE, held=()),
        replace(BASE, canary_included=(9,)),
        replace(BASE, canary_excluded=(9,)),
        replace(BASE, canary_included=(1,), forget=(2,)),
    ],
)
def test_the_digest_binds_every_part(other: Resolution) -> None:
    assert other.digest != BASE.digest


def test_the_digest_binds_which_canaries_were_in() -> None:
    one, other = (
        replace(BASE, canary_included=(9,), canary_excluded=(8,)),
        replace(BASE, canary_included=(8,), canary_excluded=(9,)),
    )
    assert one.digest != other.digest


def test_without_canaries_a_digest_is_what_it_was_before_there_were_any() -> None:
    parts = {"forget": (1, 2), "forgotten_before": (3,), "held": (4,)}
    digests = {
        name: hashlib.sha256(b"".join(row.to_bytes(8, "big") for row in rows)).hexdigest()
        for name, rows in parts.items()
    }
    assert BASE.digest == canonical_digest({"manifest": DIGEST, "train_rows": TRAIN} | digests)
