"""The contract is well-formed, and the code generated from it is the code that is checked in."""

import filecmp
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
CHECKED_IN = ROOT / "service" / "pb"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pb")
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["bash", PROTO / "generate.sh", folder], env=environment, check=True)
    return folder / "unlearning"


def _files(folder: Path) -> set[str]:
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {name for name in names if "__pycache__" not in name}


def test_generated_code_is_fresh(generated: Path) -> None:
    names = _files(generated)
    same, changed, unreadable = filecmp.cmpfiles(generated, CHECKED_IN / "unlearning", names, shallow=False)

    assert _files(CHECKED_IN / "unlearning") == names, "run proto/generate.sh"
    assert not changed, "run proto/generate.sh"
    assert not unreadable
    assert len(same) == len(names) > 0


def test_generated_imports_lead_into_the_package(generated: Path) -> None:
    for path in generated.rglob("*.py*"):
        assert not re.search(r"^(from|import) unlearning", path.read_text(), re.MULTILINE), path.name


def test_the_contract_passes_buf_lint() -> None:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    result = subprocess.run([buf, "lint"], cwd=PROTO, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_contract_is_formatted() -> None:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    result = subprocess.run([buf, "format", "--diff"], cwd=PROTO, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, "")


def test_lint_makes_no_exceptions() -> None:
    text = (PROTO / "buf.yaml").read_text() + "".join(path.read_text() for path in PROTO.rglob("*.proto"))

    assert not re.search(r"\b(except|ignore|ignore_only)\s*:|buf:lint:ignore", text)


def test_every_write_carries_a_request_id() -> None:
    reads = ("Get", "List", "Watch", "Check")
    for path in PROTO.rglob("*_service.proto"):
        text = path.read_text()
        for method in re.findall(r"^  rpc (\w+)\((?!stream)", text, re.MULTILINE):
            (body,) = re.findall(rf"^message {method}Request {{(.*?)^}}", text, re.MULTILINE | re.DOTALL)
            assert ("string request_id = 1;" in body) != method.startswith(reads), method


def test_every_message_field_service_and_method_is_described() -> None:
    for path in PROTO.rglob("*.proto"):
        before = ""
        for line in path.read_text().splitlines():
            if re.match(
                r"(message|enum|service) |  (rpc |oneof |repeated |optional |[A-Za-z0-9_.]+ [a-z0-9_]+ = \d+;)", line
            ):
                assert before.strip().startswith("//"), f"{path.name}: {line.strip()}"
            before = line


def test_every_list_has_pages() -> None:
    for path in PROTO.rglob("*_service.proto"):
        text = path.read_text()
        for name in re.findall(r"^message (List\w+)Request", text, re.MULTILINE):
            (body,) = re.findall(rf"^message {name}Request {{(.*?)^}}", text, re.MULTILINE | re.DOTALL)
            (answer,) = re.findall(rf"^message {name}Response {{(.*?)^}}", text, re.MULTILINE | re.DOTALL)
            assert "int32 page_size = 1;" in body
            assert "string page_token = 2;" in body
            assert "string next_page_token = 2;" in answer
