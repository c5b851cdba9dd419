import re
from pathlib import Path

import pytest

from service.worker.results import MOST_NAME_BYTES, NamedSetting, require_writable, result_name, write_result


def test_defaults_are_not_in_a_name() -> None:
    assert result_name("table1", NamedSetting(word="share", value=0.1, default=0.1)) == "table1"


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (NamedSetting(word="share", value=0.25, default=0.1), "table1-share-0.25"),
        (NamedSetting(value="digits", default="fashion-mnist"), "table1-digits"),
        (NamedSetting(word="hardest", value=True, default=False), "table1-hardest"),
        (NamedSetting(word="seeds", value=(0, 12), default=(0,)), "table1-seeds-0-12"),
        (NamedSetting(value="torchvision:resnet18", default="a"), "table1-torchvision-resnet18"),
        (NamedSetting(value="../my data", default="a"), "table1-..-my-data"),
    ],
)
def test_what_differs_is_in_the_name_and_makes_a_safe_one(setting: NamedSetting, name: str) -> None:
    assert result_name("table1", setting) == name


@pytest.mark.parametrize("excess", [0, 1])
def test_a_name_is_cut_where_it_is_too_long_for_a_file(excess: int, tmp_path: Path) -> None:
    many = NamedSetting(value="x" * (MOST_NAME_BYTES - len("table1-") + excess), default="")
    name = result_name("table1", many)
    assert len(name) == MOST_NAME_BYTES
    assert bool(re.search(r"-[0-9a-f]{16}$", name)) == bool(excess)
    assert write_result(tmp_path, name, {"json": b"{}\n"})[0].is_file()


def test_long_names_of_different_settings_stay_different() -> None:
    names = {
        result_name("table1", NamedSetting(word="seeds", value=tuple(range(100, 1000, step)), default=()))
        for step in (1, 2)
    } | {result_name("table1", NamedSetting(value="a" * 300 + end, default="")) for end in (":b", "/b")}
    assert len(names) == 4


def test_a_result_is_written_under_its_name_into_a_new_folder(tmp_path: Path) -> None:
    paths = write_result(tmp_path / "new" / "folder", "table1", {"json": b"{}\n", "md": b"# One\n"})
    assert [path.relative_to(tmp_path / "new" / "folder").as_posix() for path in paths] == ["table1.json", "table1.md"]
    assert [path.read_bytes() for path in paths] == [b"{}\n", b"# One\n"]
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"table1.json", "table1.md"}


def test_a_folder_that_takes_no_files_is_found_before_there_are_any(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        require_writable(tmp_path / "file")
