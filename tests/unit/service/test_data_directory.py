"""What a service needs from its data directory before it may start."""

from importlib import resources
from pathlib import Path

import pytest

from service.adapters.sql_store import connect_store, sqlite_url
from service.data_directory import claim_data_dir, load_commitment_key, load_policy, load_signer
from service.errors import InvalidRequestError, ServiceRunningError, SignatureError, StoreUnavailableError
from service.settings import Settings


def test_the_shipped_policy_is_complete() -> None:
    assert load_policy(Settings()).alpha == 0.05


def test_a_policy_that_says_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: x\nalpha: 2\n")
    with pytest.raises(InvalidRequestError, match="alpha"):
        load_policy(Settings(policy_file=file))


def test_a_policy_that_names_a_threshold_twice_is_refused(tmp_path: Path) -> None:
    shipped = (resources.files("service") / "policy.yaml").read_text(encoding="utf-8")
    file = tmp_path / "policy.yaml"
    file.write_text(f"{shipped}\nmargin: 0.4\n")
    with pytest.raises(InvalidRequestError, match="named twice: margin"):
        load_policy(Settings(policy_file=file))


def test_a_policy_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequestError, match="policy_file"):
        load_policy(Settings(policy_file=file))


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = load_commitment_key(settings)
    assert load_commitment_key(settings) == first
    assert (tmp_path / "commitment.key").stat().st_mode & 0o077 == 0


def test_a_lost_key_is_not_replaced_where_something_was_committed_to(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    load_commitment_key(settings)
    connect_store(sqlite_url(tmp_path / "store.db")).close()
    (tmp_path / "commitment.key").unlink()
    with pytest.raises(InvalidRequestError, match="restore it"):
        load_commitment_key(settings)


def test_the_signing_key_is_made_once_in_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)

    assert load_signer(settings).public_key == load_signer(settings, create=False).public_key
    assert (tmp_path / "signing.key").stat().st_mode & 0o077 == 0


def test_a_signing_key_that_was_named_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="cannot be read"):
        load_signer(Settings(data_dir=tmp_path, signing_key_file=tmp_path / "mounted.key"))


def test_a_data_directory_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    with claim_data_dir(tmp_path), pytest.raises(ServiceRunningError):
        claim_data_dir(tmp_path)
    claim_data_dir(tmp_path).close()


@pytest.mark.parametrize("name", ["a?b=1", "a%20b", "ä ö", "a#b"])
def test_the_database_lies_where_its_path_says(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    connect_store(sqlite_url(folder / "store.db")).close()
    assert (folder / "store.db").is_file()


@pytest.mark.parametrize("url", ["nonsense", "nosuchdialect://x"])
def test_a_url_of_no_database_is_told(url: str) -> None:
    with pytest.raises(StoreUnavailableError):
        connect_store(url)
