"""What every signer promises: a key in memory, and one in a file."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from service.adapters.key_file_signer import create_key_file
from service.adapters.memory import MemorySigner
from service.errors import SignatureError
from service.signing import Signer, load_public_key, read_envelope, verify_envelope

TYPE = "application/vnd.in-toto+json"
PAYLOAD = b'{"verdict":"REJECT"}'
OTHER = MemorySigner(b"o" * 32)


def _memory(folder: Path) -> Signer:
    return MemorySigner(b"s" * 32)


def _file(folder: Path) -> Signer:
    return create_key_file(folder / "signing.key")


@pytest.fixture(params=[_memory, _file], ids=["memory", "file"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Signer:
    make: Callable[[Path], Signer] = request.param
    return make(tmp_path)


def verified_by(envelope: bytes, *signers: Signer, payload_type: str = TYPE) -> str:
    keys = [load_public_key(one.public_key.pem.encode()) for one in signers]
    return verify_envelope(read_envelope(envelope), keys, payload_type)


def test_the_public_key_verifies_what_was_signed(signer: Signer) -> None:
    envelope = signer.sign(PAYLOAD, TYPE)

    assert read_envelope(envelope).payload == PAYLOAD
    assert verified_by(envelope, OTHER, signer) == signer.public_key.key_id


def test_another_key_does_not(signer: Signer) -> None:
    with pytest.raises(SignatureError, match="no valid signature"):
        verified_by(signer.sign(PAYLOAD, TYPE), OTHER)


def test_a_changed_payload_is_noticed(signer: Signer) -> None:
    envelope = json.loads(signer.sign(PAYLOAD, TYPE))
    envelope["payload"] = base64.b64encode(b'{"verdict":"ACCEPT"}').decode()

    with pytest.raises(SignatureError, match="no valid signature"):
        verified_by(json.dumps(envelope).encode(), signer)


def test_a_changed_type_is_noticed(signer: Signer) -> None:
    envelope = json.loads(signer.sign(PAYLOAD, TYPE)) | {"payloadType": "text/plain"}

    with pytest.raises(SignatureError, match="instead of"):
        verified_by(json.dumps(envelope).encode(), signer)
    with pytest.raises(SignatureError, match="no valid signature"):
        verified_by(json.dumps(envelope).encode(), signer, payload_type="text/plain")


def test_a_signature_under_a_borrowed_key_id_is_noticed(signer: Signer) -> None:
    envelope = json.loads(OTHER.sign(PAYLOAD, TYPE))
    envelope["signatures"][0]["keyid"] = signer.public_key.key_id

    with pytest.raises(SignatureError, match="no valid signature"):
        verified_by(json.dumps(envelope).encode(), signer)


def test_an_envelope_is_the_same_each_time(signer: Signer) -> None:
    assert signer.sign(PAYLOAD, TYPE) == signer.sign(PAYLOAD, TYPE)


def test_the_private_key_does_not_show_itself(signer: Signer) -> None:
    assert "PRIVATE" not in repr(signer) + signer.public_key.pem


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"payload":"?","payloadType":"t","signatures":[]}',
        b'{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":"?"}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"keyid":"k","sig":""},{"keyid":"k","sig":""}]}',
        b'{"payload":"","payloadType":"t","signatures":[],"more":1}',
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(SignatureError, match="no DSSE envelope"):
        read_envelope(data)


def test_an_envelope_that_nobody_signed_is_not_verified() -> None:
    with pytest.raises(SignatureError, match="names nobody"):
        verified_by(b'{"payload":"","payloadType":"%s","signatures":[]}' % TYPE.encode(), OTHER)
