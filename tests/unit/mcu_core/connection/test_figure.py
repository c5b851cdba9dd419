from xml.etree import ElementTree as ET

import pytest

from mcu_core.connection.report import Connection

pytest.importorskip("matplotlib", reason="figures need the extra that brings matplotlib")

from mcu_core.connection.figure import PANELS, draw_connection


def test_every_panel_is_drawn_and_named(connection: Connection) -> None:
    groups = ET.fromstring(draw_connection(connection)).iter("{http://www.w3.org/2000/svg}g")
    axes = [group for group in groups if group.get("id", "").startswith("axes_")]
    assert len(axes) == len(PANELS)


def test_the_same_study_gives_the_same_bytes(connection: Connection) -> None:
    assert draw_connection(connection) == draw_connection(connection)
