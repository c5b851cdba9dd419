from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mcu_core.connection.report import Connection

pytest.importorskip("matplotlib", reason="figures need the extra that brings matplotlib")

from mcu_core.connection.figure import PANELS, draw_connection


def test_every_panel_is_drawn_and_named(connection: Connection, tmp_path: Path) -> None:
    draw_connection(connection, tmp_path / "figure.svg")
    groups = ET.parse(tmp_path / "figure.svg").getroot().iter("{http://www.w3.org/2000/svg}g")
    axes = [group for group in groups if group.get("id", "").startswith("axes_")]
    assert len(axes) == len(PANELS)


def test_the_same_study_gives_the_same_bytes(connection: Connection, tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for path in (first, second):
        draw_connection(connection, path)
    assert first.read_bytes() == second.read_bytes()
