"""What a log line holds, and what it never holds."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.telemetry import configure_logging

SECRET = "sample-of-a-person"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def _fail() -> None:
    try:
        {}[SECRET]  # type: ignore[index] # fails on purpose
    except KeyError as error:
        raise ValueError(f"cannot use {SECRET}") from error


def test_a_line_is_one_json_object_with_its_context(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    with structlog.contextvars.bound_contextvars(ticket_id="tkt-1", run_id="run-1"):
        structlog.get_logger("unit").info("run advanced", phase="auditing")
    (line,) = _lines(capsys)

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "run advanced",
        "level": "info",
        "logger": "unit",
        "phase": "auditing",
        "ticket_id": "tkt-1",
        "run_id": "run-1",
    }


def test_lines_of_libraries_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    with structlog.contextvars.bound_contextvars(run_id="run-1"):
        logging.getLogger("library").warning("disk is %s", "slow")
    (line,) = _lines(capsys)

    assert (line["event"], line["logger"], line["run_id"]) == ("disk is slow", "library", "run-1")


def test_debug_lines_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    structlog.get_logger().debug("noise")
    logging.getLogger("library").debug("noise")

    assert _lines(capsys) == []


@pytest.mark.parametrize("json_logs", [True, False])
def test_an_exception_is_named_and_placed_but_not_quoted(capsys: pytest.CaptureFixture[str], json_logs: bool) -> None:
    configure_logging(json=json_logs)
    try:
        _fail()
    except ValueError:
        structlog.get_logger().exception("step failed")
        logging.getLogger("library").exception("step failed")
    text = capsys.readouterr().err

    assert text.count("step failed") == 2
    assert "ValueError" in text
    assert "KeyError" in text
    assert "_fail" in text
    assert SECRET not in text


def test_an_exception_given_by_value_is_treated_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    structlog.get_logger().error("call failed", exc_info=RuntimeError(SECRET))
    (line,) = _lines(capsys)

    assert line["exceptions"] == ["RuntimeError"]
    assert SECRET not in json.dumps(line)


def test_configuring_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json=True)
    configure_logging(json=True)
    structlog.get_logger().info("once")

    assert len(_lines(capsys)) == 1
