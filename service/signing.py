"""Signatures over documents: DSSE envelopes, and the port behind which the private key lies.

The envelope, its pre-authentication encoding and the signature schemes are securesystemslib's; nothing of them is
written here. Source: DSSE v1.0.2 (github.com/secure-systems-lab/dsse).
"""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import rfc8785
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecureSystemsError
from securesystemslib.signer import SSlibKey

from service.errors import SignatureError

MAX_SIGNATURES = 16
"""Of one envelope; ours have one, or two while a key is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """What everybody may know of a signing key.

    Attributes:
        key_id: SHA-256 of the key in securesystemslib's canonical form; stands beside each signature.
        pem: SubjectPublicKeyInfo.
    """

    key_id: str
    pem: str


class Signer(Protocol):
    """Signs for the service. The private key never leaves the adapter.

    A key management service fits behind the same port: securesystemslib has signers for AWS, Azure and Google KMS,
    HashiCorp Vault and PKCS #11 (`securesystemslib.signer.Signer.from_priv_key_uri("awskms:...", public_key)`), and
    `adapters.key_file_signer.KeySigner` takes each of them as it takes a key file.
    """

    @property
    def public_key(self) -> PublicKey:
        """Return the key that verifies this signer's envelopes."""
        ...

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """Return a DSSE envelope (canonical JSON) over a payload.

        Args:
            payload: any bytes.
            payload_type: media type of the payload; it is signed with it.

        Raises:
            SignatureError: the key cannot sign (now).
        """
        ...


class _Signature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    keyid: str
    sig: str


class _Envelope(BaseModel):
    """The JSON form, checked before securesystemslib reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    payload: str
    payloadType: str  # noqa: N815  # the specification's name
    signatures: tuple[_Signature, ...] = Field(max_length=MAX_SIGNATURES)


def load_public_key(pem: bytes) -> SSlibKey:
    """Read a public key: ed25519, or another that securesystemslib verifies with (ECDSA, RSA).

    Raises:
        SignatureError: it is none.
    """
    try:
        return SSlibKey.from_crypto(load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm, SecureSystemsError) as error:
        raise SignatureError("this is no public key in PEM that signatures can be verified with") from error


def public_key_of(key: SSlibKey) -> PublicKey:
    """Return a key in the form in which it is handed out."""
    pem: str = key.keyval["public"]
    if key.keytype == "ed25519":  # the one kind that securesystemslib keeps raw, in hexadecimal, instead of in PEM
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(pem))
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    return PublicKey(key_id=key.keyid, pem=pem)


def envelope_bytes(envelope: Envelope) -> bytes:
    """Return an envelope as canonical JSON."""
    return rfc8785.dumps(envelope.to_dict())


def read_envelope(data: bytes) -> Envelope:
    """Read an envelope; nothing is verified yet.

    Raises:
        SignatureError: it is none.
    """
    try:
        return Envelope.from_dict(_Envelope.model_validate_json(data).model_dump(mode="json"))
    except (ValidationError, ValueError, binascii.Error) as error:
        raise SignatureError(f"this is no DSSE envelope: {type(error).__name__}") from error


def verify_envelope(envelope: Envelope, keys: Sequence[SSlibKey], payload_type: str) -> str:
    """Verify that one of the keys signed the envelope as a payload of this type.

    Returns:
        The id of the key that did.

    Raises:
        SignatureError: none of the keys did, or the payload is of another type.
    """
    if envelope.payload_type != payload_type:
        raise SignatureError(f"the envelope holds {envelope.payload_type!r} instead of {payload_type!r}")
    try:
        return next(iter(envelope.verify(list(keys), threshold=1)))
    except (SecureSystemsError, ValueError) as error:
        signed_by = ", ".join(sorted(key_id[:16] for key_id in envelope.signatures)) or "nobody"
        asked = ", ".join(sorted(key.keyid[:16] for key in keys))
        raise SignatureError(f"no valid signature by key {asked}: the envelope names {signed_by}") from error
