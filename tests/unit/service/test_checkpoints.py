"""Checkpoints are found without listing them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.memory import MemoryObjectStore
from service.attestation import attest, checkpoint_statement
from service.checkpoints import latest_number, open_checkpoint, read_checkpoint
from service.domain.checkpoint import checkpoint_key
from service.errors import SignatureError, UnknownCheckpointError
from tests.bundles import SIGNER, an_audit
from tests.records import NOW


class Counting(MemoryObjectStore):
    """Counts how often it was asked for an object."""

    heads = 0

    def head(self, key: str):  # type: ignore[no-untyped-def]  # as the port's
        self.heads += 1
        return super().head(key)


@given(st.integers(0, 300), st.data())
def test_the_newest_number_is_found_from_any_that_exists(count: int, data: st.DataObject) -> None:
    objects = MemoryObjectStore()
    for number in range(1, count + 1):
        objects.create(checkpoint_key(number), b"x")

    assert latest_number(objects, data.draw(st.integers(0, count))) == count


def test_looking_for_the_newest_asks_a_few_times_whatever_their_number() -> None:
    objects = Counting()
    for number in range(1, 1001):
        objects.create(checkpoint_key(number), b"x")

    assert latest_number(objects) == 1000
    assert objects.heads <= 22


def test_a_checkpoint_says_what_was_signed() -> None:
    objects = MemoryObjectStore()
    envelope = attest(checkpoint_statement(7, sequence=70, digest="a" * 64, attested_at=NOW), SIGNER)
    objects.create(checkpoint_key(7), envelope)
    read = read_checkpoint(objects, 7)

    assert (read.number, read.sequence, read.digest, read.signed_at) == (7, 70, "a" * 64, NOW)
    assert read.envelope == envelope


def test_a_number_that_was_not_signed_yet_is_unknown() -> None:
    with pytest.raises(UnknownCheckpointError):
        read_checkpoint(MemoryObjectStore(), 1)


@pytest.mark.parametrize("envelope", [b"", b"{}", an_audit().members()["report.dsse.json"]])
def test_something_else_is_no_checkpoint(envelope: bytes) -> None:
    with pytest.raises(SignatureError):
        open_checkpoint(envelope)
