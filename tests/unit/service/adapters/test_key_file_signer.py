"""The key file: private from its first moment, and refused where it is not what it should be."""

from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from service.adapters.key_file_signer import create_key_file, open_key_file
from service.errors import SignatureError


def test_a_made_key_is_private_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    made = create_key_file(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert open_key_file(path).public_key == made.public_key
    assert [file.name for file in tmp_path.iterdir()] == ["signing.key"]


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    create_key_file(path)
    path.chmod(0o644)

    with pytest.raises(SignatureError, match="open to everybody"):
        open_key_file(path)


@pytest.mark.parametrize("content", [b"", b"\xff", CryptoSigner.generate_ed25519().private_bytes[:40]])
def test_a_file_that_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.touch(mode=0o600)
    path.write_bytes(content)

    with pytest.raises(SignatureError, match="must hold an ed25519"):
        open_key_file(path)


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="cannot be read"):
        open_key_file(tmp_path / "signing.key")


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.touch(mode=0o600)
    path.write_bytes(CryptoSigner.generate_ecdsa().private_bytes)

    with pytest.raises(SignatureError, match="another kind"):
        open_key_file(path)
