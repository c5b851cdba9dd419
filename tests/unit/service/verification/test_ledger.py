"""A ledger is held against signed heads of it, offline."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.adapters.memory import MemorySigner
from service.attestation import attest, checkpoint_statement
from service.domain.ledger import LedgerEntry, chain
from service.errors import SignatureError
from service.signing import load_public_key
from service.verification.checks import Outcome, passed
from service.verification.ledger import verify_ledger
from tests.records import NOW, a_draft

SIGNER, FORGER = MemorySigner(b"s" * 32), MemorySigner(b"f" * 32)
KEYS = [load_public_key(SIGNER.public_key.pem.encode())]


def chain_of(length: int, *, forged_at: int = 0) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for number in range(1, length + 1):
        draft = replace(a_draft(number), actor="forger") if number == forged_at else a_draft(number)
        entries.append(chain(draft, entries[-1] if entries else None))
    return entries


CHAIN = chain_of(9)


def head(number: int, sequence: int, *, signer: MemorySigner = SIGNER, chain: Sequence[LedgerEntry] = CHAIN) -> bytes:
    digest = chain[sequence - 1].digest
    return attest(checkpoint_statement(number, sequence=sequence, digest=digest, attested_at=NOW), signer)


def outcomes(entries: Sequence[LedgerEntry], *heads: bytes, keys: object = KEYS) -> dict[str, str]:
    results = verify_ledger(entries, heads, keys)  # type: ignore[arg-type]
    return {result.name: result.outcome for result in results}


def failed(entries: Sequence[LedgerEntry], *heads: bytes) -> set[str]:
    return {name for name, outcome in outcomes(entries, *heads).items() if outcome is Outcome.FAILED}


def test_an_honest_ledger_passes_every_check() -> None:
    results = verify_ledger(iter(CHAIN), [head(1, 3), head(2, 9)], KEYS)

    assert all(result.outcome is Outcome.PASSED for result in results)
    assert "up to entry 9" in results[2].text


def test_without_checkpoints_only_the_chain_is_checked() -> None:
    found = outcomes(CHAIN)

    assert found.pop("ledger.chain") is Outcome.PASSED
    assert set(found.values()) == {Outcome.NOT_ASKED}
    assert passed(verify_ledger(CHAIN, [], KEYS))


def test_a_changed_entry_breaks_the_chain() -> None:
    assert failed([*CHAIN[:4], replace(CHAIN[4], actor="forger"), *CHAIN[5:]]) == {"ledger.chain"}


@pytest.mark.parametrize("forged_at", range(1, 10))
def test_a_chain_written_anew_does_not_fit_a_checkpoint_that_covers_the_change(forged_at: int) -> None:
    expected = {"ledger.checkpoints"} if forged_at <= 5 else set()

    assert failed(chain_of(9, forged_at=forged_at), head(1, 5)) == expected


def test_a_ledger_that_was_cut_lacks_what_was_signed() -> None:
    assert failed(CHAIN[:4], head(1, 5)) == {"ledger.checkpoints"}


def test_a_head_of_another_key_is_not_trusted() -> None:
    assert failed(CHAIN, head(1, 5, signer=FORGER)) == {"ledger.signatures"}


def test_without_a_key_nobody_is_asked_who_signed() -> None:
    assert outcomes(CHAIN, head(1, 5), keys=[])["ledger.signatures"] is Outcome.NOT_ASKED


def test_two_heads_of_one_number_that_differ_are_found() -> None:
    forged = chain_of(9, forged_at=2)

    assert "ledger.order" in failed(CHAIN, head(1, 5), head(1, 5, chain=forged))
    assert failed(CHAIN, head(1, 5), head(1, 5)) == set()


def test_a_later_head_that_covers_less_is_found() -> None:
    assert failed(CHAIN, head(1, 5), head(2, 4)) == {"ledger.order"}


def test_what_is_no_checkpoint_cannot_be_checked() -> None:
    with pytest.raises(SignatureError):
        verify_ledger(CHAIN, [b"{}"], KEYS)
