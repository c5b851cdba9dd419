"""The keeper verifies a bounded piece a round, signs heads, and finds what was changed, wherever it stands."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from service.adapters.memory import FrozenClock, MemoryObjectStore, MemorySigner
from service.adapters.memory_store import MemoryStore
from service.checkpoints import latest_number, read_checkpoint
from service.domain.checkpoint import checkpoint_key
from service.domain.ledger import LedgerEntry, LedgerQuery, chain
from service.errors import LedgerBrokenError
from service.ledger_keeping import ENTRIES_A_ROUND, PATROL_EVERY, LedgerKeeper
from service.ports import Change
from service.signing import load_public_key, read_envelope, verify_envelope
from tests.records import NOW, a_draft

SIGNER = MemorySigner(b"s" * 32)
ENTRIES = 10
AFTER = timedelta(hours=1)


class Failures:
    """Counts the verifications that failed."""

    count = 0

    def ledger_verification_failed(self) -> None:
        self.count += 1


class Watched(MemoryStore):
    """Remembers which pages were read."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[int] = []

    def ledger_page(self, query: LedgerQuery) -> list[LedgerEntry]:
        found = list(super().ledger_page(query))
        self.pages.append(len(found))
        return found


class Bench:
    """A ledger and whoever keeps it."""

    def __init__(self) -> None:
        self.store = Watched()
        self.objects = MemoryObjectStore()
        self.clock = FrozenClock(NOW)
        self.failures = Failures()
        self.keeper = self.new_keeper()

    def new_keeper(self, signer: MemorySigner = SIGNER) -> LedgerKeeper:
        return LedgerKeeper(
            store=self.store,
            objects=self.objects,
            clock=self.clock,
            signer=signer,
            observer=self.failures,
            checkpoint_entries=ENTRIES,
            checkpoint_after=AFTER,
        )

    def append(self, count: int) -> None:
        self.store.save(Change(entries=tuple(a_draft(number) for number in range(count))))

    def rewrite(self, sequence: int, change: Callable[[LedgerEntry], LedgerEntry]) -> None:
        """Change an entry in the database, and whatever follows so that it is a chain again."""
        entries = self.store._ledger
        entries[sequence - 1] = change(entries[sequence - 1])
        for place in range(sequence - 1, len(entries)):
            before = entries[place - 1] if place else None
            entry = entries[place]
            draft = replace(
                a_draft(), at=entry.at, actor=entry.actor, kind=entry.kind, subject=entry.subject, payload=entry.payload
            )
            entries[place] = chain(draft, before)

    @property
    def signed(self) -> list[int]:
        """Return the sequence numbers of the checkpoints."""
        return [read_checkpoint(self.objects, n).sequence for n in range(1, latest_number(self.objects) + 1)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def rounds(keeper: LedgerKeeper, count: int) -> None:
    for _ in range(count):
        keeper.tend()


def forged(entry: LedgerEntry) -> LedgerEntry:
    return replace(entry, actor="forger")


def test_an_empty_ledger_has_no_checkpoint(bench: Bench) -> None:
    bench.keeper.tend()
    bench.clock.advance(AFTER)
    bench.keeper.tend()

    assert bench.signed == []


def test_a_checkpoint_is_signed_after_enough_entries(bench: Bench) -> None:
    bench.append(ENTRIES - 1)
    bench.keeper.tend()
    assert bench.signed == []

    bench.append(1)
    bench.keeper.tend()
    bench.keeper.tend()
    assert bench.signed == [ENTRIES]


def test_a_checkpoint_is_signed_after_enough_time_where_anything_is_new(bench: Bench) -> None:
    bench.append(3)
    bench.clock.advance(AFTER)
    bench.keeper.tend()
    assert bench.signed == [3]

    bench.clock.advance(AFTER)
    bench.keeper.tend()
    assert bench.signed == [3]

    bench.append(1)
    bench.keeper.tend()
    assert bench.signed == [3, 4]


def test_what_is_signed_verifies_with_the_services_key(bench: Bench) -> None:
    bench.append(ENTRIES)
    bench.keeper.tend()
    envelope = read_envelope(read_checkpoint(bench.objects, 1).envelope)

    key = load_public_key(SIGNER.public_key.pem.encode())
    assert verify_envelope(envelope, [key], "application/vnd.in-toto+json") == SIGNER.public_key.key_id


def test_a_round_reads_a_bounded_piece_and_the_next_goes_on(bench: Bench) -> None:
    bench.append(ENTRIES_A_ROUND * 2 + ENTRIES)
    for _ in range(6):
        bench.store.pages.clear()
        bench.keeper.tend()
        assert sum(bench.store.pages) <= 2 * ENTRIES_A_ROUND + 2

    assert bench.signed[-1] == ENTRIES_A_ROUND * 2 + ENTRIES
    bench.store.pages.clear()
    bench.keeper.tend()
    assert sum(bench.store.pages) == 0


def test_a_new_process_goes_on_from_the_newest_checkpoint(bench: Bench) -> None:
    bench.append(ENTRIES)
    bench.keeper.tend()
    bench.append(2)
    again = bench.new_keeper()
    bench.store.pages.clear()
    again.tend()

    assert again._verified is not None
    assert again._verified.sequence == ENTRIES + 2
    assert bench.store.pages[:2] == [1, 2]  # the entry of the checkpoint, and the two after it


def test_a_checkpoint_of_another_key_spares_no_verification(bench: Bench) -> None:
    bench.append(ENTRIES)
    bench.keeper.tend()
    successor = bench.new_keeper(MemorySigner(b"t" * 32))
    bench.store.pages.clear()
    successor.tend()

    assert bench.store.pages[:2] == [1, ENTRIES]


def test_two_keepers_sign_one_chain_of_checkpoints(bench: Bench) -> None:
    other = bench.new_keeper()
    for _ in range(5):
        bench.append(ENTRIES)
        for keeper in (bench.keeper, other):
            keeper.tend()

    assert bench.signed == [ENTRIES * n for n in range(1, 6)]


def test_a_checkpoint_that_somebody_else_wrote_first_is_taken_as_it_is(bench: Bench) -> None:
    class Raced(MemoryObjectStore):
        """Shows nothing until somebody tries to write."""

        hidden = True

        def head(self, key: str):  # type: ignore[no-untyped-def]  # as the port's
            return None if self.hidden else super().head(key)

    objects = Raced()
    bench.objects = objects
    bench.append(ENTRIES)
    bench.new_keeper().tend()
    bench.clock.advance(timedelta(seconds=1))
    late = bench.new_keeper()
    late.tend()
    objects.hidden = False
    late.tend()

    assert bench.signed == [ENTRIES]


def test_an_entry_that_does_not_follow_is_told_and_gets_no_checkpoint(bench: Bench) -> None:
    bench.append(ENTRIES)
    bench.store._ledger[4] = forged(bench.store._ledger[4])
    for expected in (1, 2):
        with pytest.raises(LedgerBrokenError):
            bench.keeper.tend()
        assert bench.failures.count == expected

    assert bench.signed == []


def test_a_chain_written_anew_does_not_fit_its_checkpoint(bench: Bench) -> None:
    bench.append(ENTRIES)
    bench.keeper.tend()
    bench.rewrite(4, forged)

    with pytest.raises(LedgerBrokenError, match="checkpoint 1"):
        bench.new_keeper().tend()


def test_a_ledger_that_was_cut_does_not_fit_its_checkpoint(bench: Bench) -> None:
    bench.append(ENTRIES)
    bench.keeper.tend()
    del bench.store._ledger[ENTRIES - 1 :]

    with pytest.raises(LedgerBrokenError, match="no such entry"):
        bench.new_keeper().tend()


@pytest.mark.parametrize("sequence", [1, 4, ENTRIES, ENTRIES + 3])
def test_a_change_behind_the_head_is_found_by_the_next_patrol(bench: Bench, sequence: int) -> None:
    bench.append(ENTRIES)
    bench.keeper.tend()
    bench.append(5)
    for _ in range(3):
        bench.keeper.tend()
    bench.store._ledger[sequence - 1] = forged(bench.store._ledger[sequence - 1])
    bench.keeper.tend()
    bench.clock.advance(PATROL_EVERY)

    with pytest.raises(LedgerBrokenError):
        rounds(bench.keeper, 3)


def test_a_patrol_over_an_honest_chain_finds_nothing_while_it_grows(bench: Bench) -> None:
    for _ in range(40):
        bench.append(7)
        bench.keeper.tend()
        bench.clock.advance(PATROL_EVERY / 3)

    assert bench.failures.count == 0
    assert bench.signed[-1] == 280


def test_a_forged_checkpoint_is_found_by_the_patrol(bench: Bench) -> None:
    for _ in range(3):
        bench.append(ENTRIES)
        bench.keeper.tend()
    bench.objects.overwrite(checkpoint_key(2), read_checkpoint(bench.objects, 1).envelope)
    bench.rewrite(15, forged)
    bench.objects.delete(checkpoint_key(3))

    keeper = bench.new_keeper()
    with pytest.raises(LedgerBrokenError):
        rounds(keeper, 5)
