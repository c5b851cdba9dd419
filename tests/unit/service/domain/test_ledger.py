"""The ledger's chain: nothing in it can be changed, dropped, inserted or moved unnoticed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.ledger import GENESIS_DIGEST, LedgerEntry, LedgerKind, chain, microseconds, verify_chain
from service.errors import LedgerBrokenError
from tests.records import NOW, a_draft, digest_of


def chain_of(length: int) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for number in range(1, length + 1):
        entries.append(chain(a_draft(number), entries[-1] if entries else None))
    return entries


CHAIN = chain_of(5)


@given(st.integers(0, 8))
def test_what_was_chained_verifies(length: int) -> None:
    assert verify_chain(chain_of(length)) == length


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_chain_can_be_verified_piece_by_piece(one: int, other: int) -> None:
    first, second = sorted((one, other))
    pieces = (CHAIN[:first], CHAIN[first:second], CHAIN[second:])
    previous: LedgerEntry | None = None
    for piece in pieces:
        last = verify_chain(piece, previous)
        previous = piece[-1] if piece else previous
        assert last == (0 if previous is None else previous.sequence)


@pytest.mark.parametrize("missing", range(1, 4))
def test_a_gap_between_two_pieces_is_found(missing: int) -> None:
    with pytest.raises(LedgerBrokenError):
        verify_chain(CHAIN[missing + 1 :], CHAIN[missing - 1])


def test_the_first_entry_follows_the_genesis_digest() -> None:
    assert (CHAIN[0].sequence, CHAIN[0].previous_digest) == (1, GENESIS_DIGEST)


def test_each_entry_carries_the_digest_before_it() -> None:
    assert [entry.previous_digest for entry in CHAIN[1:]] == [entry.digest for entry in CHAIN[:-1]]


def test_the_last_digest_binds_every_entry_before_it() -> None:
    other: list[LedgerEntry] = []
    for number in range(1, len(CHAIN) + 1):
        draft = replace(a_draft(number), actor="somebody else") if number == 1 else a_draft(number)
        other.append(chain(draft, other[-1] if other else None))

    assert verify_chain(other) == len(CHAIN)
    assert other[-1].digest != CHAIN[-1].digest


TAMPERED: dict[str, Callable[[LedgerEntry], LedgerEntry]] = {
    "sequence": lambda entry: replace(entry, sequence=entry.sequence + 1),
    "at": lambda entry: replace(entry, at=entry.at + timedelta(microseconds=1)),
    "actor": lambda entry: replace(entry, actor="somebody else"),
    "kind": lambda entry: replace(entry, kind=LedgerKind.RELEASED),
    "subject": lambda entry: replace(entry, subject="tkt-9999"),
    "payload value": lambda entry: replace(entry, payload={**entry.payload, "event": "waive"}),
    "payload type": lambda entry: replace(entry, payload={**entry.payload, "last": 0}),
    "payload key": lambda entry: replace(entry, payload={**entry.payload, "more": None}),
    "payload not a number": lambda entry: replace(entry, payload={**entry.payload, "share": float("nan")}),
    "payload too large": lambda entry: replace(entry, payload={**entry.payload, "number": 2**60}),
    "payload digest": lambda entry: replace(entry, payload_digest=digest_of("other")),
    "previous digest": lambda entry: replace(entry, previous_digest=digest_of("other")),
    "digest": lambda entry: replace(entry, digest=digest_of("other")),
}


@pytest.mark.parametrize("position", range(len(CHAIN)))
@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_changed_field_is_found(tamper: Callable[[LedgerEntry], LedgerEntry], position: int) -> None:
    entries = list(CHAIN)
    entries[position] = tamper(entries[position])

    with pytest.raises(LedgerBrokenError, match="does not follow from the one before it"):
        verify_chain(entries)


@pytest.mark.parametrize("position", range(len(CHAIN) - 1))  # what follows the last shows in a checkpoint only
def test_a_rewritten_entry_breaks_the_next_one_even_with_a_matching_digest(position: int) -> None:
    entries = list(CHAIN)
    forged = chain(replace(a_draft(position + 1), actor="forger"), entries[position - 1] if position else None)
    entries[position] = forged

    with pytest.raises(LedgerBrokenError, match=f"entry {position + 2} "):
        verify_chain(entries)


@pytest.mark.parametrize("position", range(len(CHAIN) - 1))
def test_a_dropped_entry_is_found(position: int) -> None:
    with pytest.raises(LedgerBrokenError):
        verify_chain(CHAIN[:position] + CHAIN[position + 1 :])


@pytest.mark.parametrize("position", range(len(CHAIN) + 1))
def test_an_inserted_entry_is_found(position: int) -> None:
    inserted = chain(a_draft(99), CHAIN[position - 1] if position else None)

    entries = [*CHAIN[:position], inserted, *CHAIN[position:]]
    if position == len(CHAIN):
        assert verify_chain(entries) == len(CHAIN) + 1  # that is an append
        return
    with pytest.raises(LedgerBrokenError):
        verify_chain(entries)


@given(st.permutations(CHAIN))
def test_moved_entries_are_found(entries: list[LedgerEntry]) -> None:
    if entries == CHAIN:
        return
    with pytest.raises(LedgerBrokenError):
        verify_chain(entries)


def test_a_time_is_hashed_as_the_instant_whatever_its_zone() -> None:
    elsewhere = replace(a_draft(), at=a_draft().at.astimezone(timezone(timedelta(hours=5, minutes=30))))

    assert chain(elsewhere, None).digest == chain(a_draft(), None).digest


@given(st.integers(-(2**53), 2**53))
def test_microseconds_are_exact(count: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        at = epoch + timedelta(microseconds=count)
    except OverflowError:
        return

    assert microseconds(at) == count


def test_now_is_not_rounded() -> None:
    assert microseconds(NOW) % 1_000_000 == NOW.microsecond
