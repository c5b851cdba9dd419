from pathlib import Path

import pytest

from service.worker.results import NamedSetting, result_name, write_result


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


def test_a_result_is_written_under_its_name_into_a_new_folder(tmp_path: Path) -> None:
    paths = write_result(tmp_path / "new" / "folder", "table1", {"json": b"{}\n", "md": b"# One\n"})
    assert [path.relative_to(tmp_path / "new" / "folder").as_posix() for path in paths] == ["table1.json", "table1.md"]
    assert [path.read_bytes() for path in paths] == [b"{}\n", b"# One\n"]
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"table1.json", "table1.md"}
