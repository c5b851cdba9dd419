"""Signing with a private key from a file: ed25519, PKCS #8 in PEM, readable by its owner only."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey
from securesystemslib.signer import Signer as LibrarySigner

from service.errors import SignatureError
from service.signing import PublicKey, envelope_bytes, public_key_of

OTHERS = 0o007
"""Permissions that a private key must not have. The group may read: a mounted Kubernetes secret needs it."""


class KeySigner:
    """Signs with any signer of securesystemslib."""

    def __init__(self, signer: LibrarySigner) -> None:
        """Take the signer; its public key must be of a kind that is written in PEM."""
        if not isinstance(signer.public_key, SSlibKey):
            raise SignatureError(f"a key of type {signer.public_key.keytype} cannot be handed out in PEM")
        self._signer = signer
        self._public = public_key_of(signer.public_key)

    @property
    def public_key(self) -> PublicKey:
        """Return the key that verifies this signer's envelopes."""
        return self._public

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """Return a DSSE envelope over a payload."""
        envelope = Envelope(payload, payload_type, {})
        try:
            envelope.sign(self._signer)
        except Exception as error:  # each of the library's signers raises its vendor's errors
            raise SignatureError(f"the signing key cannot be used: {type(error).__name__}") from error
        return envelope_bytes(envelope)


def open_key_file(path: Path) -> KeySigner:
    """Read a private key.

    Raises:
        SignatureError: there is none, it is no ed25519 key in PEM, or everybody may read it.
    """
    try:
        if path.stat().st_mode & OTHERS:
            raise SignatureError(f"{path} is open to everybody: chmod 600 it, and take a new key if that was not meant")
        private = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SignatureError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} must hold an ed25519 private key (PKCS #8 in PEM, no password)") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SignatureError(f"{path} holds another kind of key than ed25519")
    return KeySigner(CryptoSigner(private))


def create_key_file(path: Path) -> KeySigner:
    """Make a key and its file; nobody else can read it at any moment, and a crash leaves no half of it."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with partial.open("wb") as file:
        file.write(CryptoSigner.generate_ed25519().private_bytes)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return open_key_file(path)
