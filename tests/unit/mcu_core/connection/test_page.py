import re

from mcu_core.connection.page import connection_page
from mcu_core.connection.report import Connection


def cells(connection: Connection) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in connection_page(connection).splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_rates_are_shown_in_percent_and_losses_in_nats(connection: Connection) -> None:
    straight = connection.paths[0]
    found = cells(connection)
    assert found["UA"][0] == f"{100 * straight.points[0].unlearning_accuracy:.2f}"
    assert found["CE(D_r)"][1] == f"{straight.points[-1].retain_loss:.3f}"
    (rise,) = (summary.rise for summary in straight.summaries if summary.quantity == "CE(D_r)")
    assert found["CE(D_r)"][2].split(" ")[0] == f"{rise:.3f}"


def test_every_quantity_has_a_row_of_the_tables_width(connection: Connection) -> None:
    found = cells(connection)
    for summary in connection.paths[0].summaries:
        assert len(found[summary.quantity]) == 2 + 3 * len(connection.paths)


def test_the_models_in_the_middle_are_compared_with_both_ends(connection: Connection) -> None:
    found = cells(connection)
    middle = connection.paths[1].points[2].second
    assert found["quadratic, t = 0.50, and seed 2"] == [
        f"{100 * middle.forget_agreement:.2f}",
        f"{100 * middle.test_agreement:.2f}",
        f"{middle.forget_cka:.3f}",
        f"{middle.test_cka:.3f}",
    ]


def test_the_page_says_how_it_was_made(connection: Connection) -> None:
    assert re.search(r"seed 0; .*\n", connection_page(connection))
    assert f"torch {connection.environment.versions['torch']}" in connection_page(connection)
