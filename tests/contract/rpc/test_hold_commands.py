"""`unlearn hold` against a server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing
from typer.testing import CliRunner, Result

from service.__main__ import app
from tests.contract.rpc.conftest import Api
from tests.contract.rpc.records import LINEAGE

PLACE = ("hold", "place", LINEAGE, "--basis", "Court order 7 O 12/26")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the log of the server, which runs in this process, out of what the command prints."""
    with structlog.testing.capture_logs():
        yield


def unlearn(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--address", f"127.0.0.1:{api.server.port}"])


def told(api: Api, *arguments: str) -> object:
    result = unlearn(api, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_hold_is_placed_listed_and_released(api: Api, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("sample-2\nsample-3\n")
    placed = told(api, *PLACE, "sample-1", "--file", str(tmp_path / "ids.txt"), "--treatment", "retain")
    assert isinstance(placed, dict)
    assert (placed["sample_count"], placed["treatment"]) == ("3", "HOLD_TREATMENT_RETAIN")
    assert str(placed["hold_id"]) in str(told(api, "hold", "list", "--lineage", LINEAGE))

    released = told(api, "hold", "release", str(placed["hold_id"]), "--reason", "Closed")
    assert isinstance(released, dict)
    assert released["state"] == "HOLD_STATE_RELEASED"
    assert told(api, "hold", "list") == []
    assert told(api, "hold", "list", "--all") == [released]


def test_people_are_told_in_words(api: Api) -> None:
    placed = unlearn(api, *PLACE, "sample-1").output
    listed = unlearn(api, "hold", "list").output

    assert "ACTIVE" in placed
    assert "RESTRICT" in placed
    assert "Court order" in placed
    assert "hld-0001" in listed
    assert unlearn(api, "hold", "list", "--lineage", "other").output == "No holds.\n"


def test_repeating_a_command_with_its_request_id_places_one_hold(api: Api) -> None:
    first = told(api, *PLACE, "sample-1", "--request-id", "mine")

    assert told(api, *PLACE, "sample-1", "--request-id", "mine") == first


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("hold", "place", LINEAGE, "sample-1"), 2, "--basis"),
        (PLACE, 2, "name sample ids"),
        (("hold", "release", "hld-9"), 2, "--reason"),
        (("hold", "release", "hld-9", "--reason", "x"), 1, "UNKNOWN_HOLD"),
        ((*PLACE, "nobody"), 1, "UNKNOWN_SAMPLE_IDS"),
    ],
)
def test_what_is_missing_or_wrong_is_said(api: Api, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = unlearn(api, *arguments)

    assert result.exit_code == code
    assert words in result.output
