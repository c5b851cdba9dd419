"""A bundle is written the same each time, and read without trusting whoever packed it."""

import hashlib
import os
import warnings
import zipfile
from pathlib import Path

import pytest

from service import bundle
from service.bundle import Bundle, attempt_member, is_member, read_bundle, write_bundle
from service.errors import BundleError

MEMBERS = {name: f"content of {name}".encode() for name in bundle.REQUIRED} | {
    attempt_member(1, name): b"earlier" for name in bundle.ATTEMPT_MEMBERS
}


def zipped(path: Path, *entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that occurs twice
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def unpacked(folder: Path) -> Path:
    for name, content in MEMBERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    model = tmp_path / "weights"
    model.write_bytes(b"weights")
    write_bundle(tmp_path / "b.zip", MEMBERS, model=model)

    digest = hashlib.sha256(b"weights").hexdigest()
    assert read_bundle(tmp_path / "b.zip") == Bundle(members=MEMBERS, model_digest=digest)
    assert read_bundle(tmp_path / "b.zip").attempts == (1,)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.zip", "weights"]


def test_a_folder_is_read_like_a_zip(tmp_path: Path) -> None:
    assert read_bundle(unpacked(tmp_path)) == Bundle(members=MEMBERS)


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    write_bundle(tmp_path / "one.zip", MEMBERS)
    write_bundle(tmp_path / "other.zip", dict(reversed(MEMBERS.items())))

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_an_unknown_member_is_named_and_not_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "b.zip", ("notes.txt", b"x"), ("attempts/1/plan.json", b"x"), ("plan.json", b"p"))

    assert read_bundle(path) == Bundle(members={"plan.json": b"p"}, unknown=("notes.txt", "attempts/1/plan.json"))


@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors", "../plan.json"])
def test_a_member_that_no_bundle_has_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such member"):
        write_bundle(tmp_path / "b.zip", MEMBERS | {name: b""})


def test_what_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bundle(tmp_path / "b.zip", MEMBERS, model=tmp_path / "nothing.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_bundle_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"report\.html"):
        write_bundle(tmp_path / "b.zip", {name: content for name, content in MEMBERS.items() if name != "report.html"})


@pytest.mark.parametrize(
    "name",
    [
        "../plan.json",
        "/plan.json",
        "a/../../plan.json",
        "C:/plan.json",
        "..\\plan.json",
        "attempts/0001/./plan.json",
        ".hidden",
        "a\x1b[2Jb",
        "a/b/c/d/e",
        "x" * 200,
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="leads elsewhere"):
        read_bundle(zipped(tmp_path / "b.zip", (name, b"x")))


@pytest.mark.parametrize("name", ["plan.json", "notes.txt", "model.safetensors"])
def test_a_name_that_occurs_twice_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="twice"):
        read_bundle(zipped(tmp_path / "b.zip", (name, b"one"), (name, b"other")))


def test_a_compressed_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="compressed"):
        read_bundle(zipped(tmp_path / "b.zip", ("plan.json", b"0" * 9999), compression=zipfile.ZIP_DEFLATED))


def test_a_member_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 10)

    with pytest.raises(BundleError, match="larger than a member may be: 11 bytes"):
        read_bundle(zipped(tmp_path / "b.zip", ("plan.json", b"0" * 11)))


def test_members_that_are_too_large_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_TOTAL_BYTES", 10)

    with pytest.raises(BundleError, match="larger"):
        read_bundle(zipped(tmp_path / "b.zip", ("plan.json", b"0" * 6), ("policy.json", b"0" * 6)))


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_MEMBERS", 3)

    with pytest.raises(BundleError, match="too many"):
        read_bundle(zipped(tmp_path / "b.zip", *((f"{number}", b"") for number in range(4))))


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "bundle")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "plan.json").unlink()
    (folder / "plan.json").symlink_to(tmp_path / "secret")

    with pytest.raises(BundleError, match="link"):
        read_bundle(folder)


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(unpacked(tmp_path) / "model.safetensors")

    with pytest.raises(BundleError, match="special file"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_truncated_zip_is_refused(keep: int, tmp_path: Path) -> None:
    write_bundle(tmp_path / "whole.zip", MEMBERS)
    (tmp_path / "b.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:keep])

    with pytest.raises(BundleError, match="no bundle that can be read"):
        read_bundle(tmp_path / "b.zip")


def test_a_zip_with_a_damaged_member_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "whole.zip", MEMBERS)
    content = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(content.replace(b"content of plan.json", b"content of PLAN.json", 1))

    with pytest.raises(BundleError, match="CRC"):
        read_bundle(tmp_path / "b.zip")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        read_bundle(tmp_path / "b.zip")


@pytest.mark.parametrize("name", ["attempts/1/plan.json", "attempts/00001/plan.json", "attempts/0001/scores.parquet"])
def test_an_attempt_has_one_spelling_and_four_members(name: str) -> None:
    assert not is_member(name)
    assert is_member(attempt_member(12345, "report.dsse.json"))
